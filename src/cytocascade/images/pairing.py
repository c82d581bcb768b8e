"""Which mask belongs to which image, told by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cytocascade.errors import CytoCascadeError
from cytocascade.images.readers import IMAGE_SUFFIXES

MASK_SUFFIXES = ("_masks", "_mask", "_cp_masks", "_labels", "_label", "_seg")
"""What may follow the image's name in the mask's name; earlier ones win."""

_SLICE_NUMBER = re.compile(r"(.+)_z(\d+)")
_CELLPOSE_EXTRAS = ("_flows", "_cp_flows", "_dp", "_cellprob", "_cp_output", "_outlines", "_cp_outlines")


@dataclass(frozen=True)
class Pair:
    """One image file and its mask file.

    Attributes
    ----------
    image, mask : Path
        The two files.
    name : str
        Name of the image in its data set; unique there.
    references : tuple of Path
        Masks that name all cells of the image; the annotation is partial if it has clearly fewer.
    slices : tuple of (int, Path)
        For a stack that is annotated slice by slice: numbers of the slices, counted from 0 and ascending, and the
        files of their masks. `mask` is then the folder that holds them.
    """

    image: Path
    mask: Path
    name: str
    references: tuple[Path, ...] = ()
    slices: tuple[tuple[int, Path], ...] = ()


@dataclass(frozen=True)
class FoundPairs:
    """The pairs of a data set, with the layout they were found in and remarks for the user."""

    layout: str
    pairs: tuple[Pair, ...]
    warnings: tuple[str, ...] = ()


def image_files(folder: Path) -> list[Path]:
    """Return the TIFF and PNG files of `folder`, sorted by name, without hidden ones."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".") and file.is_file()
    )


def stem(file: Path) -> str:
    """Return the name of `file` without its suffix; ``.ome`` belongs to the suffix."""
    return file.stem[:-4] if file.stem.lower().endswith(".ome") else file.stem


def listed(files: Sequence[Path], limit: int = 3) -> str:
    """Return the first few names of `files` as text."""
    names = ", ".join(file.name for file in files[:limit])
    return names + (f" and {len(files) - limit} more" if len(files) > limit else "")


def pair_folders(images: Path, masks: Path, *, sparse: bool, layout: str, slices: bool = False) -> FoundPairs:
    """Pair the files of two folders by equal names, or a name and a suffix of `MASK_SUFFIXES`.

    ``x_img.tif`` goes with ``x_masks.tif`` too. With `slices`, ``x_z012.tif`` is the mask of slice 12 of ``x.tif``,
    where that has no other mask.

    Raises
    ------
    CytoCascadeError
        If a folder has no images, no pair is found, a name is there twice, or files stay alone (an image
        without a mask is allowed if `sparse`).
    """
    image_of = _by_stem(images, image_files(images))
    mask_of = _by_stem(masks, image_files(masks))
    pairs: list[Pair] = []
    used: set[Path] = set()
    for name, image in image_of.items():
        found = next((wanted for wanted in [name, *_mask_names(name)] if wanted in mask_of), None)
        if found is not None:
            used.add(mask_of[found])
            pairs.append(Pair(image, mask_of[found], name))
    if slices:
        pairs = _with_slices(pairs, image_of, [mask for mask in mask_of.values() if mask not in used], used)
    paired = {pair.image for pair in pairs}
    lone_images = [file for file in image_of.values() if file not in paired]
    lone_masks = [file for file in mask_of.values() if file not in used]
    if not pairs:
        raise CytoCascadeError(
            f"no pair of image and mask found: {len(image_of)} images ({listed(lone_images)}) and "
            f"{len(mask_of)} masks in {masks} ({listed(lone_masks)})",
            path=images,
            hint=f"Give both files the same name, or the mask one of the endings {', '.join(MASK_SUFFIXES)}.",
        )
    return FoundPairs(layout, tuple(pairs), _refuse_lone(images, lone_images, lone_masks, sparse=sparse))


def pair_beside(folder: Path, *, sparse: bool, slices: bool = False) -> FoundPairs:
    """Pair images with the masks that lie beside them, as Cellpose writes them: ``x.tif``, ``x_masks.tif``.

    ``x_img.tif`` goes with ``x_masks.tif`` too. Where there are several, ``_masks`` wins over ``_cp_masks`` (what
    Cellpose predicted) and TIFF over PNG. With `slices`, ``x_z012_masks.tif`` is the mask of slice 12 of ``x.tif``,
    where that has no other mask.

    Raises
    ------
    CytoCascadeError
        As in `pair_folders`.
    """
    images, masks = split_beside(image_files(folder))
    image_of = _by_stem(folder, images)
    pairs: list[Pair] = []
    used: set[Path] = set()
    for name, image in image_of.items():
        wanted = _mask_names(name)
        found = [mask for want in wanted for mask in masks if stem(mask) == want]
        if found:
            used.update(found)
            pairs.append(Pair(image, min(found, key=lambda f: (wanted.index(stem(f)), _png(f))), name))
    if slices:
        pairs = _with_slices(pairs, image_of, [mask for mask in masks if mask not in used], used)
    paired = {pair.image for pair in pairs}
    lone_images = [image for image in images if image not in paired]
    if not pairs:
        only_npy = any(folder.glob("*_seg.npy"))
        raise CytoCascadeError(
            f"no pair of image and mask found: {len(images)} images ({listed(images)}), {len(masks)} masks",
            path=folder,
            hint="Cellpose's _seg.npy files are not read (they are pickles); save the masks as PNG or TIFF "
            "in its File menu."
            if only_npy
            else "The mask of x.tif is x_masks.tif or x_masks.png beside it.",
        )
    lone_masks = [mask for mask in masks if mask not in used]
    return FoundPairs("cellpose", tuple(pairs), _refuse_lone(folder, lone_images, lone_masks, sparse=sparse))


def split_beside(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Split the files of one folder into images and masks by the endings of their names."""
    masks = [file for file in files if stem(file).lower().endswith(MASK_SUFFIXES)]
    images = [file for file in files if not stem(file).lower().endswith(MASK_SUFFIXES + _CELLPOSE_EXTRAS)]
    return images, masks


def slices_by_number(files: Iterable[tuple[int, Path]]) -> tuple[tuple[int, Path], ...]:
    """Return the masks of one stack's slices, ascending; two masks of one slice are refused."""
    of: dict[int, Path] = {}
    for number, file in files:
        if number in of:
            raise CytoCascadeError(
                f"{of[number].name} and {file.name} are both masks of slice {number}",
                path=file.parent,
                hint="Keep one of them.",
            )
        of[number] = file
    return tuple(sorted(of.items()))


def _with_slices(
    pairs: Sequence[Pair], image_of: Mapping[str, Path], masks: Sequence[Path], used: set[Path]
) -> list[Pair]:
    """Return `pairs` and those of images whose masks are of single slices, by name; add these masks to `used`."""
    paired = {pair.image for pair in pairs}
    added = []
    for name, image in image_of.items():
        own = [(number, mask) for mask in masks if (number := _slice_of(name, mask)) is not None]
        if own and image not in paired:
            used.update(mask for _, mask in own)
            added.append(Pair(image, own[0][1].parent, name, slices=slices_by_number(own)))
    return sorted([*pairs, *added], key=lambda pair: pair.name)


def _slice_of(name: str, mask: Path) -> int | None:
    """Return which slice of the image `name` a mask is of: 12 for ``name_z012`` with or without a mask's ending."""
    match = _SLICE_NUMBER.fullmatch(_bare(stem(mask)))
    return int(match[2]) if match and _bare(match[1]) in (name, name.removesuffix("_img")) else None


def _bare(name: str) -> str:
    endings = sorted(MASK_SUFFIXES, key=len, reverse=True)
    return next((name.removesuffix(ending) for ending in endings if name.endswith(ending)), name)


def _mask_names(name: str) -> list[str]:
    """Return the names of masks that go with the image `name`, best first."""
    return [base + suffix for suffix in MASK_SUFFIXES for base in (name, name.removesuffix("_img"))]


def _png(file: Path) -> bool:
    return file.suffix.lower() == ".png"


def _by_stem(folder: Path, files: Sequence[Path]) -> dict[str, Path]:
    if not files:
        raise CytoCascadeError(
            f"the folder holds no images ({', '.join(IMAGE_SUFFIXES)})", path=folder, hint=_what_else(folder)
        )
    found: dict[str, Path] = {}
    for file in files:
        name = stem(file)
        if name in found:
            raise CytoCascadeError(
                f"{found[name].name} and {file.name} have the same name, so pairs are ambiguous",
                path=folder,
                hint="Keep one of them.",
            )
        found[name] = file
    return found


def _what_else(folder: Path) -> str | None:
    endings = sorted({file.suffix for file in folder.iterdir() if file.is_file() and file.suffix})
    return f"It holds files of the types {', '.join(endings[:5])}." if endings else None


def _refuse_lone(folder: Path, images: Sequence[Path], masks: Sequence[Path], *, sparse: bool) -> tuple[str, ...]:
    """Refuse files without a partner, or return remarks on them if `sparse`."""
    if sparse:
        remarks = [f"skipped {len(images)} images without a mask: {listed(images)}"] if images else []
        remarks += [f"skipped {len(masks)} masks without an image: {listed(masks)}"] if masks else []
        return tuple(remarks)
    if images:
        raise CytoCascadeError(
            f"{len(images)} images have no mask: {listed(images)}",
            path=folder,
            hint="Annotate or remove them, or pass --sparse to skip images without annotation.",
        )
    if masks:
        raise CytoCascadeError(
            f"{len(masks)} masks have no image: {listed(masks)}",
            path=masks[0].parent,
            hint="Add the images or remove the masks; their names must agree.",
        )
    return ()
