"""The export formats by name."""

from __future__ import annotations

from pathlib import Path

from cytocascade.errors import CytoCascadeError
from cytocascade.export.base import Exporter
from cytocascade.export.cellpose import CellposeExporter
from cytocascade.export.coco import CocoExporter
from cytocascade.export.ctc import CtcExporter
from cytocascade.export.folder import FolderExporter
from cytocascade.export.ome_tiff import OmeTiffExporter
from cytocascade.export.stardist import StarDistExporter

FORMATS = ("folder", "ome-tiff", "ctc", "cellpose", "stardist", "coco")
"""Names that `get_exporters` knows."""


def get_exporters(formats: str, *, dim: int | None = None, test_fraction: float = 0.0) -> list[Exporter]:
    """Return the exporters for a comma-separated list of formats, such as ``"ctc,cellpose"``.

    Parameters
    ----------
    formats : str
        Names out of `FORMATS`, in any case; a name given twice counts once.
    dim : {2, 3}, optional
        Refuse formats that cannot hold arrays with as many axes, before anything is generated.
    test_fraction : float, [0, 1)
        Share of the samples that StarDist's layout puts into ``test/``.

    Raises
    ------
    CytoCascadeError
        If a name is unknown, no name is given, or a format cannot hold `dim` axes.
    """
    names = list(dict.fromkeys(name.strip().lower() for name in formats.split(",") if name.strip()))
    if not names:
        raise CytoCascadeError("No export format is given.", hint=f"Formats are {', '.join(FORMATS)}.")
    exporters = [_make(name, test_fraction) for name in names]
    for exporter in exporters:
        if dim is not None and dim not in exporter.dimensions:
            able = ", ".join(name for name in FORMATS if dim in _make(name, 0.0).dimensions)
            raise CytoCascadeError(
                f"The format {exporter.name!r} holds no {dim}D arrays.",
                hint=f"Formats for {dim}D are {able}.",
            )
    return exporters


def format_root(root: Path, exporter: Exporter, exporters: list[Exporter]) -> Path:
    """Return the folder of a format: `root` itself if it is the only one, else ``root/<format>``."""
    return root if len(exporters) == 1 else root / exporter.name


def _make(name: str, test_fraction: float) -> Exporter:
    match name:
        case "folder":
            return FolderExporter()
        case "ome-tiff":
            return OmeTiffExporter()
        case "ctc":
            return CtcExporter()
        case "cellpose":
            return CellposeExporter()
        case "stardist":
            return StarDistExporter(test_fraction=test_fraction)
        case "coco":
            return CocoExporter()
        case _:
            raise CytoCascadeError(f"Unknown export format {name!r}.", hint=f"Formats are {', '.join(FORMATS)}.")
