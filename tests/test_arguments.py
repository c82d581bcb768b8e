from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cytocascade.arguments import (
    checked_model,
    parse_duration,
    parse_range,
    parse_ratio,
    parse_size,
    parse_spacing,
    parse_voxel,
)
from cytocascade.errors import CytoCascadeError


@pytest.mark.parametrize(("text", "wanted"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5", 90), (" 3 m ", 180)])
def test_duration_is_read(text: str, wanted: float) -> None:
    assert parse_duration(text) == wanted


@pytest.mark.parametrize("text", ["", "m", "-3m", "10 days", "0", "1e3s", "0s"])
def test_wrong_duration_is_refused(text: str) -> None:
    with pytest.raises(CytoCascadeError, match="no duration") as caught:
        parse_duration(text)
    assert "10m" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "wanted"), [("512x256", (512, 256)), ("64", (64, 64)), ("8X16", (8, 16)), ("4x5x6", (4, 5, 6))]
)
def test_size_is_read(text: str, wanted: tuple[int, ...]) -> None:
    assert parse_size(text) == wanted


@pytest.mark.parametrize("text", ["", "x", "512x", "5.5x3", "1x2x3x4", "-5x5", "512,512"])
def test_wrong_size_is_refused(text: str) -> None:
    with pytest.raises(CytoCascadeError, match="no size"):
        parse_size(text)


@pytest.mark.parametrize(("text", "wanted"), [("40", 40), ("20:60", (20, 60)), ("5:5", (5, 5)), ("0", 0)])
def test_range_is_read(text: str, wanted: object) -> None:
    assert parse_range(text) == wanted


@pytest.mark.parametrize("text", ["", "a", "5:", ":5", "-1", "1:2:3", "9:4", "2.5"])
def test_wrong_range_is_refused(text: str) -> None:
    with pytest.raises(CytoCascadeError, match=r"no number of cells|empty range"):
        parse_range(text)


@pytest.mark.parametrize(
    ("text", "wanted"), [("0.25", (0.25, 0.25)), ("0.5,0.25", (0.5, 0.25)), ("2,0.5,0.25", (2, 0.5, 0.25))]
)
def test_spacing_is_read(text: str, wanted: tuple[float, ...]) -> None:
    assert parse_spacing(text) == wanted


@pytest.mark.parametrize("text", ["", "a", "0", "-1", "nan", "inf", "1,2,3,4", "0.25um", "1;2"])
def test_wrong_spacing_is_refused(text: str) -> None:
    with pytest.raises(CytoCascadeError, match="no spacing"):
        parse_spacing(text)


@pytest.mark.parametrize(("text", "wanted"), [("0.5,0.25,0.2", (0.5, 0.25, 0.2)), ("2, 1, 1", (2, 1, 1))])
def test_voxel_is_read(text: str, wanted: tuple[float, float, float]) -> None:
    assert parse_voxel(text) == wanted


@pytest.mark.parametrize("text", ["0.25", "0.5,0.25", "1,2,3,4", "", "0,1,1", "a,b,c"])
def test_wrong_voxel_is_refused(text: str) -> None:
    with pytest.raises(CytoCascadeError, match=r"no voxel size|no spacing") as caught:
        parse_voxel(text)
    assert "z,y,x" in str(caught.value.hint)


@pytest.mark.parametrize(("text", "wanted"), [("0.5", 0.5), ("1", 1.0), ("0.4:0.6", (0.4, 0.6)), ("1:1", (1.0, 1.0))])
def test_ratio_is_read(text: str, wanted: object) -> None:
    found = parse_ratio(text)
    assert found == wanted
    assert all(isinstance(value, float) for value in (found if isinstance(found, tuple) else (found,)))


@pytest.mark.parametrize(
    "text", ["", "a", "0.6:0.4", "0.4:", ":0.4", "0.1:0.2:0.3", "0.4,0.6", "nan", "0.4:nan", "-1", "0"]
)
def test_wrong_ratio_is_refused(text: str) -> None:
    with pytest.raises(CytoCascadeError, match="no ratio") as caught:
        parse_ratio(text)
    assert "0.4:0.6" in str(caught.value.hint)


class Wishes(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cell_size: float = Field(1.0, gt=0)
    pair: tuple[int, int] = (1, 2)

    @model_validator(mode="after")
    def _ordered(self) -> Wishes:
        if self.pair[0] > self.pair[1]:
            raise ValueError("the pair is in the wrong order")
        return self


def test_a_model_is_made_of_what_was_asked_for() -> None:
    assert checked_model(Wishes, cell_size=3.0) == Wishes(cell_size=3.0)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"cell_size": -1.0}, "--cell-size: Input should be greater than 0"),
        ({"pair": (1, "x")}, "--pair: "),
        ({"colour": "red"}, "--colour: "),
        ({"pair": (2, 1)}, "^the pair is in the wrong order"),
    ],
)
def test_the_first_wrong_wish_is_named_as_on_the_command_line(wishes: dict[str, object], words: str) -> None:
    with pytest.raises(CytoCascadeError, match=words) as caught:
        checked_model(Wishes, **wishes)
    assert "Value error" not in str(caught.value)
    assert "Wishes" in str(caught.value.hint)
