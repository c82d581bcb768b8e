"""Pairs in a data set of the Cell Tracking Challenge.

A sequence ``01`` holds frames ``t000.tif``; its gold truth is ``01_GT/SEG/man_seg000.tif``, its silver truth
``01_ST/SEG/man_seg000.tif``. Frames without either are skipped: annotating few frames is the normal case.

Gold is preferred to silver, but it often covers only some cells of a frame. The cells that there are can be
counted in the silver truth and in the tracking markers ``01_GT/TRA``; they are handed on as references, and a
gold mask with clearly fewer cells makes its image sparse (see `cytocascade.images.entries`).

The gold truth of real stacks is mostly of single slices: ``man_seg_TTT_ZZZ.tif`` is the 2D mask of slice ZZZ of frame
TTT, both counted from 0 (``man_segTTT_ZZZ.tif`` is understood too). A frame with a full gold mask keeps that.
"""

from __future__ import annotations

import re
from pathlib import Path

from cytocascade.errors import CytoCascadeError
from cytocascade.images.pairing import FoundPairs, Pair, image_files, slices_by_number

_FRAME = re.compile(r"t(\d+)")
_MASK = re.compile(r"(?:man_seg|man_track)_?(\d+)")
_SLICE_MASK = re.compile(r"man_seg_?(\d+)_(\d+)")


def is_ctc(images: Path, masks: Path | None = None) -> bool:
    """Return whether `images` is a challenge data set, or one of its sequences (with `masks` or without)."""
    if masks is not None:
        return bool(_frames(images)) and any(
            _MASK.fullmatch(file.stem) or _SLICE_MASK.fullmatch(file.stem)
            for file in image_files(_segmentations(masks))
        )
    return bool(_annotated_sequences(images))


def pair_ctc(images: Path, masks: Path | None = None, *, slices: bool = False) -> FoundPairs:
    """Pair the frames of all annotated sequences with their masks.

    Parameters
    ----------
    images : Path
        The data set's folder or one sequence (``01``).
    masks : Path, optional
        For one sequence: the masks to use (``01_GT``, ``01_ST`` or a folder with ``man_seg*.tif``) instead of
        gold before silver.
    slices : bool
        Whether frames are stacks, so that masks of single slices count.

    Raises
    ------
    CytoCascadeError
        If there is no sequence with masks, or only masks of single slices without `slices`.
    """
    sequences = [images] if masks is not None else _annotated_sequences(images)
    if not sequences:
        raise CytoCascadeError(
            "no annotated sequence of the Cell Tracking Challenge found",
            path=images,
            hint="Looked for 01/t000.tif with 01_GT/SEG/man_seg000.tif or 01_ST/SEG/man_seg000.tif.",
        )
    pairs: list[Pair] = []
    for sequence in sequences:
        pairs += _pair_sequence(sequence, masks, slices=slices)
    if not pairs:
        where = [_segmentations(masks)] if masks else [folder for s in sequences for folder in _truths(s)]
        looked = f"Looked in {', '.join(map(str, where))}."
        if not slices and any(_SLICE_MASK.fullmatch(file.stem) for folder in where for file in image_files(folder)):
            raise CytoCascadeError(
                "only masks of single slices (man_seg_TTT_ZZZ.tif) found; they belong to 3D stacks",
                path=images,
                hint=f"Pass --dim 3 to read stacks. {looked}",
            )
        raise CytoCascadeError("no frame t000.tif has a mask man_seg000.tif", path=images, hint=looked)
    without = [s.name for s in _sequences(images) if s not in sequences] if masks is None else []
    remark = f"skipped sequences without annotation: {', '.join(without)}"
    return FoundPairs("ctc", tuple(pairs), (remark,) if without else ())


def _pair_sequence(sequence: Path, masks: Path | None, *, slices: bool) -> list[Pair]:
    gold_folder, silver_folder = _truths_of(sequence)
    given_folder = gold_folder if masks is None else _segmentations(masks)
    markers = _masks(sequence.with_name(f"{sequence.name}_GT") / "TRA")
    gold = _masks(given_folder)
    gold_slices = _slice_masks(given_folder) if slices else {}
    silver = _masks(silver_folder)
    gives_gold = given_folder.resolve() == gold_folder.resolve()
    pairs = []
    for number, frame in _frames(sequence).items():
        name = f"{sequence.name}_{frame.stem}"
        complete = tuple(truth[number] for truth in (silver, markers) if number in truth) if gives_gold else ()
        if number in gold:
            pairs.append(Pair(frame, gold[number], name, complete))
        elif number in gold_slices:
            pairs.append(Pair(frame, given_folder, name, complete, slices_by_number(gold_slices[number])))
        elif masks is None and number in silver:
            pairs.append(Pair(frame, silver[number], name))
    return pairs


def _annotated_sequences(folder: Path) -> list[Path]:
    return [sequence for sequence in _sequences(folder) if any(truth.is_dir() for truth in _truths(sequence))]


def _sequences(folder: Path) -> list[Path]:
    # A user inside the folder may give it as "." and its name is needed.
    folder = folder if folder.name.isdigit() else folder.resolve()
    if folder.name.isdigit() and _frames(folder):
        return [folder]
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and path.name.isdigit())
    return [path for path in inside if _frames(path)]


def _truths(sequence: Path) -> list[Path]:
    return [folder for folder in _truths_of(sequence) if folder.is_dir()]


def _truths_of(sequence: Path) -> tuple[Path, Path]:
    gold, silver = (sequence.with_name(f"{sequence.name}_{truth}") / "SEG" for truth in ("GT", "ST"))
    return gold, silver


def _segmentations(masks: Path) -> Path:
    return masks / "SEG" if (masks / "SEG").is_dir() else masks


def _frames(folder: Path) -> dict[int, Path]:
    return _numbered(folder, _FRAME)


def _masks(folder: Path) -> dict[int, Path]:
    return _numbered(folder, _MASK) if folder.is_dir() else {}


def _slice_masks(folder: Path) -> dict[int, list[tuple[int, Path]]]:
    found: dict[int, list[tuple[int, Path]]] = {}
    for file in image_files(folder) if folder.is_dir() else ():
        if match := _SLICE_MASK.fullmatch(file.stem):
            found.setdefault(int(match[1]), []).append((int(match[2]), file))
    return found


def _numbered(folder: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    matches = ((pattern.fullmatch(file.stem), file) for file in image_files(folder))
    return {int(match[1]): file for match, file in matches if match}
