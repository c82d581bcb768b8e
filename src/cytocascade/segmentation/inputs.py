"""Which images a user means: files, OME-Zarr images and folders of both, each with a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cytocascade.errors import CytoCascadeError
from cytocascade.images.ome_zarr import is_zarr
from cytocascade.images.pairing import MASK_SUFFIXES, image_files, split_beside, stem
from cytocascade.images.readers import IMAGE_SUFFIXES

_ZARR = ".zarr"


def named_images(given: Sequence[Path]) -> dict[str, Path]:
    """Return the images among files and folders, by name.

    Masks in folders (``x_masks.tif``) are left out, and given ones whose image is given too, as ``folder/*.tif`` gives
    them.

    Parameters
    ----------
    given : sequence of Path
        Images, or folders of images; a folder inside a folder is not looked into, unless it is an OME-Zarr image.

    Returns
    -------
    dict of str to Path
        Names are those of the files without suffix; in the order given, within folders by name.

    Raises
    ------
    CytoCascadeError
        If something is missing, a folder holds no images, or two images have the same name.
    """
    found: dict[str, Path] = {}
    everything = [image for one in given for image in _images_at(one)]
    for path in _without_masks(everything):
        name = _name(path)
        if name in found and found[name].resolve() != path.resolve():
            raise CytoCascadeError(
                f"{found[name]} and {path} have the same name, so their labels would have, too",
                hint="Segment them by two calls, with different --out folders.",
            )
        found.setdefault(name, path)
    if not found:
        raise CytoCascadeError("there are no images to segment", hint="Give images, or folders of images.")
    return found


def _images_at(path: Path) -> list[Path]:
    if not path.exists():
        raise CytoCascadeError("there is no such file or folder", path=path)
    if path.is_file() or is_zarr(path):
        return [path]
    zarrs = [inside for inside in path.iterdir() if inside.suffix == _ZARR and is_zarr(inside)]
    images, masks = split_beside(image_files(path))
    if not images and not zarrs:
        below = path / "images"
        raise CytoCascadeError(
            "the folder holds masks, but no images" if masks else f"the folder holds no images ({_suffixes()})",
            path=path,
            hint=f"Give its folder {below}." if below.is_dir() else "Give images, or the folder they are in.",
        )
    return sorted([*images, *zarrs])


def _without_masks(paths: Sequence[Path]) -> list[Path]:
    """Leave out masks whose image is there, and what else Cellpose writes beside an image (flows, outlines)."""
    files = [path for path in paths if path.is_file()]
    images, masks = split_beside(files)
    names = {(image.parent, stem(image)) for image in images}
    alone = [mask for mask in masks if not any((mask.parent, base) in names for base in _image_names(stem(mask)))]
    kept = {*images, *alone}
    return [path for path in paths if path in kept or path.is_dir()]


def _image_names(mask: str) -> list[str]:
    """Return the names that the image of a mask may have: ``x`` and ``x_img`` for ``x_masks``."""
    bases = [mask[: -len(ending)] for ending in MASK_SUFFIXES if mask.lower().endswith(ending)]
    return [base + ending for base in bases for ending in ("", "_img")]


def _name(path: Path) -> str:
    return path.name.removesuffix(_ZARR).removesuffix(".ome") if path.is_dir() else stem(path)


def _suffixes() -> str:
    return ", ".join((*IMAGE_SUFFIXES, _ZARR))
