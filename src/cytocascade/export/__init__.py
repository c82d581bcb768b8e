"""Writing data sets: one file per format, the manifest, the settings and the data card."""

from cytocascade.export.base import Exporter
from cytocascade.export.card import data_card
from cytocascade.export.manifest import load_record, parse_reference, read_manifest
from cytocascade.export.registry import FORMATS, get_exporters
from cytocascade.export.settings import DatasetSettings, check_same_settings
from cytocascade.export.writer import DatasetWriter

__all__ = [
    "FORMATS",
    "DatasetSettings",
    "DatasetWriter",
    "Exporter",
    "check_same_settings",
    "data_card",
    "get_exporters",
    "load_record",
    "parse_reference",
    "read_manifest",
]
