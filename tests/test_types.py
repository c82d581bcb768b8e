from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.types import AnnotatedImage, GeneratedSample, label_dtype


@pytest.mark.parametrize(("count", "wanted"), [(0, np.uint16), (65_535, np.uint16), (65_536, np.uint32)])
def test_labels_get_the_smallest_type_that_never_wraps(count: int, wanted: type) -> None:
    assert label_dtype(count) is wanted


def test_annotation_is_complete_and_spacing_unknown_unless_told() -> None:
    image = AnnotatedImage(np.zeros((4, 4)), np.zeros((4, 4), np.uint16), (1.0, 1.0), "x")
    assert not image.sparse
    assert not image.spacing_known


def test_values_between_stages_cannot_be_reassigned() -> None:
    sample = GeneratedSample(np.zeros((4, 4)), np.zeros((4, 4), np.uint16), (1.0, 1.0), 0, 0)
    with pytest.raises(FrozenInstanceError):
        sample.seed = 1  # type: ignore[misc]


def test_samples_do_not_share_their_records() -> None:
    one, other = (GeneratedSample(np.zeros(1), np.zeros(1), (1.0,), i, 0) for i in range(2))
    one.params["a"] = 1
    one.cells.append({})
    assert not other.params
    assert not other.cells


def test_error_tells_file_problem_and_hint() -> None:
    error = CytoCascadeError("is broken", path="a/b.tif", hint="Repair it.")
    assert str(error).splitlines() == ["a/b.tif: is broken", "Repair it."]
    assert isinstance(error, ValueError)


def test_error_needs_neither_file_nor_hint() -> None:
    error = CytoCascadeError("is broken")
    assert str(error) == "is broken"
    assert error.path is None
    assert error.hint is None
