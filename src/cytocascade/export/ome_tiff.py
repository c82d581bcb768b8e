"""Format ``ome-tiff``: ``images/000000.ome.tif`` with ``masks/000000.ome.tif``."""

from __future__ import annotations

from typing import ClassVar

from cytocascade.export.folder import FolderExporter


class OmeTiffExporter(FolderExporter):
    """The ``folder`` format under the suffix by which Bio-Formats, OMERO and QuPath recognise OME-TIFF."""

    name: ClassVar[str] = "ome-tiff"
    suffix: ClassVar[str] = ".ome.tif"
