"""Reading the annotated images of a user: found, read, checked, with one pixel size for all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cytocascade.errors import CytoCascadeError
from cytocascade.images.common_spacing import check_given_spacing, common_spacing
from cytocascade.images.entries import read_entry, refuse_without_cells, remarks
from cytocascade.images.layouts import find_pairs
from cytocascade.types import AnnotatedImage


@dataclass(frozen=True)
class AnnotatedDataset:
    """The annotated images of a user.

    Attributes
    ----------
    images : tuple of AnnotatedImage
        The images with their labels, in the order of their names.
    layout : str
        Layout found on disk: ``"folder"``, ``"cellpose"``, ``"ctc"`` or ``"stardist"``.
    root : Path
        Folder (or file) that was read.
    files : tuple of (Path, Path)
        Image and mask file of each entry of `images`.
    warnings : tuple of str
        What was skipped or looks odd, for the user to judge.
    """

    images: tuple[AnnotatedImage, ...]
    layout: str
    root: Path
    files: tuple[tuple[Path, Path], ...]
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[AnnotatedImage]:
        return iter(self.images)


def read_dataset(
    images: str | Path,
    masks: str | Path | None = None,
    *,
    spacing: tuple[float, ...] | None = None,
    sparse: bool = False,
    layout: str = "auto",
    label_components: bool = False,
    dim: int = 2,
) -> AnnotatedDataset:
    """Read and check a data set of annotated images.

    Parameters
    ----------
    images : path-like
        Folder of the images or of the whole data set (or one image file).
    masks : path-like, optional
        Folder of the masks (or one mask file), where they do not lie with the images.
    spacing : tuple of float, optional
        Micrometres per pixel along each axis; overrides what the files state. Where neither tells, 1.0 is
        assumed and `AnnotatedImage.spacing_known` is False.
    sparse : bool
        Whether images and cells without annotation are normal. Images without a mask or with an empty one are
        then skipped; otherwise a missing mask is an error and an empty one means an image without cells.
    layout : str
        One of `cytocascade.images.layouts.LAYOUTS`; ``"auto"`` recognises it.
    label_components : bool
        Whether every connected region of a mask is one cell (masks that are binary).
    dim : int
        2 for (Y, X) images, 3 for (Z, Y, X) stacks.

    Returns
    -------
    AnnotatedDataset
        An image of the Cell Tracking Challenge is marked sparse by itself where its gold mask has clearly
        fewer cells than its silver mask or its tracking markers.

    Raises
    ------
    CytoCascadeError
        If no pair is found, files are damaged or of the wrong kind, shapes or pixel sizes differ, masks are
        binary or all empty, or there are fewer than `MIN_CELLS` whole cells.
    """
    images = Path(images)
    masks = None if masks is None else Path(masks)
    if dim not in (2, 3):
        raise CytoCascadeError(f"images have 2 or 3 dimensions, not {dim}", hint="Pass --dim 2 or --dim 3.")
    if spacing is not None:
        check_given_spacing(spacing, dim)
    found = find_pairs(images, masks, layout=layout, sparse=sparse)
    entries = [read_entry(pair, sparse=sparse, label_components=label_components, dim=dim) for pair in found.pairs]
    refuse_without_cells(images, entries, layout=found.layout)
    empty = [entry for entry in entries if entry.census.labelled == 0]
    if sparse:
        entries = [entry for entry in entries if entry.census.labelled > 0]
    common = spacing
    if common is None:
        common = common_spacing([(entry.pair.image, entry.spacing) for entry in entries])
    annotated = (
        AnnotatedImage(
            image=entry.image,
            labels=entry.labels,
            spacing=(1.0,) * dim if common is None else tuple(float(size) for size in common),
            name=entry.pair.name,
            spacing_known=common is not None,
            sparse=entry.sparse,
        )
        for entry in entries
    )
    return AnnotatedDataset(
        images=tuple(annotated),
        layout=found.layout,
        root=images,
        files=tuple((entry.pair.image, entry.pair.mask) for entry in entries),
        warnings=found.warnings + tuple(remarks(entries, empty, sparse=sparse)),
    )
