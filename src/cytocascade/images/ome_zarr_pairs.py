"""Which label image belongs to which OME-Zarr image: the one inside it."""

from __future__ import annotations

from pathlib import Path

from cytocascade.errors import CytoCascadeError
from cytocascade.images.ome_zarr import is_zarr
from cytocascade.images.pairing import FoundPairs, Pair

_SUFFIX = ".zarr"


def holds_zarr(folder: Path) -> bool:
    """Return whether `folder` is an annotated OME-Zarr image, or holds some."""
    return bool(_images(folder))


def pair_zarr(folder: Path) -> FoundPairs:
    """Pair OME-Zarr images with the labels inside them.

    Parameters
    ----------
    folder : Path
        One image, or a folder of images.

    Raises
    ------
    CytoCascadeError
        If there is no image, or one has no labels or several.
    """
    images = _images(folder)
    if not images:
        raise CytoCascadeError("no OME-Zarr images (x.ome.zarr) with labels found here", path=folder)
    pairs = []
    for image in images:
        found = [path for path in sorted((image / "labels").iterdir()) if is_zarr(path)]
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise CytoCascadeError(
                f"the image needs one label image, it has {len(found)} ({names})",
                path=image,
                hint="Choose one by --images x.ome.zarr --masks x.ome.zarr/labels/NAME.",
            )
        name = image.name.removesuffix(_SUFFIX).removesuffix(".ome")
        pairs.append(Pair(image, found[0], name))
    return FoundPairs("ome-zarr", tuple(pairs))


def _images(folder: Path) -> list[Path]:
    """Return the annotated images in `folder`, or `folder` itself if it is one."""
    if is_zarr(folder):
        return [folder] if (folder / "labels").is_dir() else []
    inside = sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX) if folder.is_dir() else []
    return [path for path in inside if is_zarr(path) and (path / "labels").is_dir()]
