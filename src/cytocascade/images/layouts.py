"""How images and masks are laid out on disk, recognised and turned into pairs.

``folder``
    ``images/`` + ``masks/`` in one folder, or two folders given apart; names equal or with a mask suffix.
``cellpose``
    ``x.tif`` + ``x_masks.tif`` (or ``.png``, ``x_cp_masks``) beside each other, directly or below ``train/``.
``ctc``
    Cell Tracking Challenge: ``01/t000.tif`` + ``01_GT/SEG/man_seg000.tif`` or ``01_ST/SEG``; single slices of stacks
    are ``man_seg_TTT_ZZZ.tif``.
``stardist``
    ``images/`` + ``masks/`` below ``train/``, or directly.
``ome-zarr``
    ``x.ome.zarr`` with its labels inside, ``x.ome.zarr/labels/cells``.

In the other layouts, the mask of a single slice of the stack ``x.tif`` is ``x_z012.tif`` (beside images
``x_z012_masks.tif``). Slices are counted from 0.

Where ``train/`` and ``test/`` are both there, only ``train/`` is read: whoever made that split wants the test
images unseen. ``test/`` can be given by itself.
"""

from __future__ import annotations

from pathlib import Path

from cytocascade.errors import CytoCascadeError
from cytocascade.images.ctc import is_ctc, pair_ctc
from cytocascade.images.ome_zarr import is_zarr
from cytocascade.images.ome_zarr_pairs import holds_zarr, pair_zarr
from cytocascade.images.pairing import (
    FoundPairs,
    Pair,
    image_files,
    pair_beside,
    pair_folders,
    split_beside,
    stem,
)

LAYOUTS = ("auto", "folder", "cellpose", "ctc", "stardist", "ome-zarr")


def find_pairs(
    images: Path, masks: Path | None = None, *, layout: str = "auto", sparse: bool = False, slices: bool = False
) -> FoundPairs:
    """Find the pairs of image and mask of a data set.

    Parameters
    ----------
    images : Path
        Folder of the images or of the whole data set, or one image file.
    masks : Path, optional
        Folder of the masks, or one mask file; needed where they do not lie with the images.
    layout : str
        One of `LAYOUTS`; ``"auto"`` recognises the layout by what is on disk.
    sparse : bool
        Whether files without a partner are skipped instead of refused.
    slices : bool
        Whether to take masks of single slices for stacks that have no other mask (`Pair.slices`).

    Returns
    -------
    FoundPairs
        At least one pair, in the order of the names.

    Raises
    ------
    CytoCascadeError
        If a path is missing, the layout is not recognised, or pairs are missing or ambiguous.
    """
    if layout not in LAYOUTS:
        raise CytoCascadeError(f"unknown layout '{layout}'", hint=f"Layouts: {', '.join(LAYOUTS)}.")
    for path in filter(None, (images, masks)):
        if not path.exists():
            raise CytoCascadeError("there is no such file or folder", path=path)
    if images.is_file() or (masks is not None and (masks.is_file() or is_zarr(masks))):
        return _single_pair(images, masks)
    if layout == "auto":
        layout = _recognise(images, masks)
    if layout == "ome-zarr":
        return pair_zarr(images)
    if layout == "ctc":
        return pair_ctc(images, masks, slices=slices)
    if layout == "cellpose":
        return _pair_cellpose(images, masks, sparse=sparse, slices=slices)
    return _pair_two_folders(images, masks, layout=layout, sparse=sparse, slices=slices)


def _single_pair(images: Path, masks: Path | None) -> FoundPairs:
    if masks is None or not all(path.is_file() or is_zarr(path) for path in (images, masks)):
        raise CytoCascadeError(
            "one image was given without one mask",
            path=images,
            hint="Give two files or two folders by --images and --masks.",
        )
    return FoundPairs("folder", (Pair(images, masks, stem(images)),))


def _recognise(images: Path, masks: Path | None) -> str:
    if masks is not None:
        if is_ctc(images, masks):
            return "ctc"
        return "cellpose" if masks.resolve() == images.resolve() else "folder"
    if is_ctc(images):
        return "ctc"
    if holds_zarr(images):
        return "ome-zarr"
    if _two_folders(images):
        return "folder"
    if _has_masks_beside(images):
        return "cellpose"
    for part in ("train", "test"):
        if _two_folders(images / part):
            return "stardist"
        if (images / part).is_dir() and _has_masks_beside(images / part):
            return "cellpose"
    beside = images.parent / "masks"
    raise CytoCascadeError(
        "no annotated images recognised here",
        path=images,
        hint="Looked for images/ + masks/ (folder), also below train/ or test/ (stardist), x.tif + "
        "x_masks.tif or x_masks.png (cellpose), "
        "x.ome.zarr with labels inside (ome-zarr), and 01/t000.tif + 01_GT/SEG or 01_ST/SEG with man_seg000.tif "
        "(ctc). " + (f"Give the masks by --masks {beside}." if beside.is_dir() else "Give the masks by --masks DIR."),
    )


def _two_folders(folder: Path) -> bool:
    return (folder / "images").is_dir() and (folder / "masks").is_dir()


def _has_masks_beside(folder: Path) -> bool:
    images, masks = split_beside(image_files(folder))
    return bool(images and masks)


def _part(root: Path, ready: bool) -> tuple[Path, tuple[str, ...]]:
    """Return the folder to read below `root` (itself if `ready`) and a remark on what is left out."""
    parts = [root / name for name in ("train", "test") if (root / name).is_dir()]
    if ready or not parts:
        return root, ()
    remark = "read train/ only; test/ is left for testing (give it by itself to read it)"
    return parts[0], (remark,) if len(parts) == 2 else ()


def _pair_cellpose(images: Path, masks: Path | None, *, sparse: bool, slices: bool) -> FoundPairs:
    if masks is not None and masks.resolve() != images.resolve():
        return pair_folders(images, masks, sparse=sparse, layout="cellpose", slices=slices)
    folder, remark = _part(images, ready=_has_masks_beside(images))
    found = pair_beside(folder, sparse=sparse, slices=slices)
    return FoundPairs(found.layout, found.pairs, remark + found.warnings)


def _pair_two_folders(images: Path, masks: Path | None, *, layout: str, sparse: bool, slices: bool) -> FoundPairs:
    if masks is not None:
        return pair_folders(images, masks, sparse=sparse, layout=layout, slices=slices)
    folder, remark = _part(images, ready=layout == "folder" or _two_folders(images))
    if not _two_folders(folder):
        below = " (also below train/ and test/)" if layout == "stardist" else ""
        raise CytoCascadeError(
            f"layout '{layout}' needs the folders images/ and masks/{below}",
            path=images,
            hint="Give the masks by --masks DIR if they lie elsewhere.",
        )
    found = pair_folders(folder / "images", folder / "masks", sparse=sparse, layout=layout, slices=slices)
    return FoundPairs(found.layout, found.pairs, remark + found.warnings)
