"""The export formats by name."""

from __future__ import annotations

from pathlib import Path

from cytocascade.errors import CytoCascadeError
from cytocascade.export.base import Exporter
from cytocascade.export.cellpose import DEFAULT_SLICE_STEP, CellposeExporter
from cytocascade.export.coco import CocoExporter
from cytocascade.export.ctc import CtcExporter
from cytocascade.export.folder import FolderExporter
from cytocascade.export.nnunet import NnUNetExporter
from cytocascade.export.ome_tiff import OmeTiffExporter
from cytocascade.export.ome_zarr import OmeZarrExporter
from cytocascade.export.stardist import StarDistExporter

_EXPORTERS: dict[str, type[Exporter]] = {
    exporter.name: exporter
    for exporter in (
        FolderExporter,
        OmeTiffExporter,
        CtcExporter,
        CellposeExporter,
        StarDistExporter,
        CocoExporter,
        OmeZarrExporter,
        NnUNetExporter,
    )
}

FORMATS = tuple(_EXPORTERS)
"""Names that `get_exporters` knows."""


def get_exporters(
    formats: str, *, dim: int | None = None, test_fraction: float = 0.0, slice_step: int | None = None
) -> list[Exporter]:
    """Return the exporters for a comma-separated list of formats, such as ``"ctc,cellpose"``.

    Parameters
    ----------
    formats : str
        Names out of `FORMATS`, in any case; a name given twice counts once.
    dim : {2, 3}, optional
        Refuse formats that cannot hold arrays with as many axes, before anything is generated.
    test_fraction : float, [0, 1)
        Share of the samples that is held out, in formats that know a test set: ``cellpose``, ``stardist`` and
        ``nnunet``.
    slice_step : int, optional
        Which slices of a volume ``cellpose`` gets; see `CellposeExporter`.

    Raises
    ------
    CytoCascadeError
        If a name is unknown, no name is given, a format cannot hold `dim` axes, or a package that it needs is not
        installed.
    """
    names = list(dict.fromkeys(name.strip().lower() for name in formats.split(",") if name.strip()))
    if not names:
        raise CytoCascadeError("No export format is given.", hint=f"Formats are {', '.join(FORMATS)}.")
    for name in names:
        if name not in _EXPORTERS:
            raise CytoCascadeError(f"Unknown export format {name!r}.", hint=f"Formats are {', '.join(FORMATS)}.")
        if dim is not None and dim not in _EXPORTERS[name].dimensions:
            able = ", ".join(other for other in FORMATS if dim in _EXPORTERS[other].dimensions)
            raise CytoCascadeError(
                f"The format {name!r} holds no {dim}D arrays.", hint=f"Formats for {dim}D are {able}."
            )
    return [_make(name, test_fraction, slice_step) for name in names]


def format_root(root: Path, exporter: Exporter, exporters: list[Exporter]) -> Path:
    """Return the folder of a format: `root` itself if it is the only one, else ``root/<format>``."""
    return root if len(exporters) == 1 else root / exporter.name


def _make(name: str, test_fraction: float, slice_step: int | None) -> Exporter:
    match name:
        case "cellpose":
            step = DEFAULT_SLICE_STEP if slice_step is None else slice_step
            return CellposeExporter(test_fraction=test_fraction, slice_step=step)
        case "stardist":
            return StarDistExporter(test_fraction=test_fraction)
        case "nnunet":
            return NnUNetExporter(test_fraction=test_fraction)
        case _:
            return _EXPORTERS[name]()
