from pathlib import Path

import pytest

from cytocascade.errors import CytoCascadeError
from cytocascade.images.common_spacing import check_given_spacing, common_spacing, micrometres

A, B = Path("a.tif"), Path("b.tif")


def test_sizes_within_a_percent_are_one_and_the_first_counts() -> None:
    assert common_spacing([(A, (1.0, 0.25)), (B, (1.0, 0.2524))]) == (1.0, 0.25)
    with pytest.raises(CytoCascadeError, match=r"b\.tif: .*1 x 0\.253 um, but a\.tif has pixels of 1 x 0\.25 um"):
        common_spacing([(A, (1.0, 0.25)), (B, (1.0, 0.253))])


def test_all_or_none_state_a_size() -> None:
    assert common_spacing([(A, None), (B, None)]) is None
    assert common_spacing([]) is None
    with pytest.raises(CytoCascadeError, match=r"a\.tif: the image states no pixel size, but b\.tif has"):
        common_spacing([(A, None), (B, (1.0, 1.0, 1.0))])


@pytest.mark.parametrize(("spacing", "dim"), [((1.0, 1.0), 3), ((1.0, 1.0, 1.0), 2), ((1.0, 0.0), 2), ((1.0, -1.0), 2)])
def test_impossible_spacing_is_refused(spacing: tuple[float, ...], dim: int) -> None:
    with pytest.raises(CytoCascadeError, match="spacing"):
        check_given_spacing(spacing, dim)
    check_given_spacing((0.5,) * dim, dim)


def test_sizes_are_written_with_their_unit() -> None:
    assert micrometres((0.5, 0.379, 1.0)) == "0.5 x 0.379 x 1 um"
