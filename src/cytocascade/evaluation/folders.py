"""Data sets in folders, read, compared and reported: 2D images or volumes, whichever lies there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.compare import evaluate_with_pictures
from cytocascade.evaluation.extractors import Choice
from cytocascade.evaluation.report import require_matplotlib, write_report
from cytocascade.evaluation.results import Evaluation
from cytocascade.evaluation.volumes.compare import evaluate_volumes_with_pictures
from cytocascade.evaluation.volumes.results import VolumeEvaluation
from cytocascade.images import read_dataset
from cytocascade.images.layouts import find_pairs
from cytocascade.images.readers import read_image
from cytocascade.types import AnnotatedImage

Progress = Callable[[str, float], None]


def evaluate_folders(
    real: Path,
    synthetic: Path,
    out: Path,
    *,
    training: Path | None = None,
    spacing: tuple[float, ...] | None = None,
    sparse: bool = False,
    layout: str = "auto",
    dim: int | None = None,
    seed: int = 0,
    features: Choice = "auto",
    progress: Progress | None = None,
) -> Evaluation | VolumeEvaluation:
    """Read folders, compare them and write the report to `out`.

    Parameters
    ----------
    real, synthetic : path
        Data sets in any layout that `cytocascade.images.read_dataset` knows.
    out : path
        Folder for ``report.json`` and ``index.html``.
    training : path, optional
        The images the model was fitted on. Of volumes, fully annotated ones.
    spacing : tuple of float, optional
        Micrometres per pixel (y, x), or per voxel (z, y, x), of real and training images. Synthetic images take it
        too: in 2D always, in 3D where their files do not state their own.
    sparse : bool
        Whether the real images show cells without a label.
    layout
        As for `read_dataset`.
    dim : {2, 3}, optional
        Whether images (Y, X) or volumes (Z, Y, X) are compared; by default what the images are.
    seed, features, progress
        As for `evaluate` and `evaluate_volumes`.

    Returns
    -------
    Evaluation or VolumeEvaluation
        The figures, of images or of volumes.

    Raises
    ------
    CytoCascadeError
        If a folder cannot be read, one holds images and another volumes, or as for `evaluate` and
        `evaluate_volumes`.
    """
    require_matplotlib()
    folders = {"real": Path(real), "synthetic": Path(synthetic)}
    if training is not None:
        folders["training"] = Path(training)
    dim = _one_dimension(folders, layout) if dim is None else dim
    if spacing is not None and dim == 3 and len(spacing) != 3:
        raise CytoCascadeError(
            f"These are volumes, but the spacing has {len(spacing)} values.",
            hint="Give micrometres per voxel as --spacing z,y,x (for example 0.5,0.25,0.25).",
        )
    sets = {
        role: _read(folder, role, spacing=spacing, sparse=sparse and role != "synthetic", layout=layout, dim=dim)
        for role, folder in folders.items()
    }
    compare = evaluate_with_pictures if dim == 2 else evaluate_volumes_with_pictures
    evaluation, pictures = compare(
        sets["real"], sets["synthetic"], training=sets.get("training"), seed=seed, features=features, progress=progress
    )
    write_report(evaluation, pictures, out)
    return evaluation


def _read(
    folder: Path, role: str, *, spacing: tuple[float, ...] | None, sparse: bool, layout: str, dim: int
) -> list[AnnotatedImage]:
    # Real stacks often lack a voxel size, while synthetic ones state theirs, which need not be the same.
    if dim == 2 or role != "synthetic":
        return list(read_dataset(folder, spacing=spacing, sparse=sparse, layout=layout, dim=dim))
    found = list(read_dataset(folder, sparse=sparse, layout=layout, dim=dim))
    if spacing is None:
        return found
    return [one if one.spacing_known else replace(one, spacing=spacing, spacing_known=True) for one in found]


def _one_dimension(folders: dict[str, Path], layout: str) -> int:
    """Return whether the first image of every folder has 2 or 3 axes, and refuse a mixture."""
    found = {}
    for role, folder in folders.items():
        first = find_pairs(folder, layout=layout, sparse=True).pairs[0].image
        found[role] = (read_image(first)[0].ndim, first)
    dim, first = found["real"]
    for role, (other, file) in list(found.items())[1:]:
        if other != dim:
            kinds = {2: "a 2D image", 3: "a volume"}
            raise CytoCascadeError(
                f"the {role} set holds {kinds.get(other, f'{other} axes')}, but the real set holds "
                f"{kinds.get(dim, f'{dim} axes')} ({first})",
                path=file,
                hint="Compare volumes with volumes and 2D images with 2D images (export 2D slices, say).",
            )
    return dim
