"""Reading durations, sizes, ranges and spacings as they are written on the command line."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cytocascade.errors import CytoCascadeError

Model = TypeVar("Model", bound=BaseModel)


def parse_duration(text: str) -> float:
    """Return the seconds of ``90s``, ``10m`` or ``2h``; a bare number counts minutes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not found or float(found[1]) <= 0:
        raise CytoCascadeError(f"{text!r} is no duration", hint="Write 90s, 10m or 2h.")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "": 60}[found[2]]


def parse_size(text: str) -> tuple[int, ...]:
    """Return the pixels of ``512x512`` (Y x X); one number is a square."""
    if not re.fullmatch(r"\d+(x\d+){0,2}", text.strip().lower()):
        raise CytoCascadeError(f"{text!r} is no size", hint="Write 512x512: pixels along Y and X; or 48x256x256.")
    sides = tuple(int(side) for side in text.lower().split("x"))
    return sides * 2 if len(sides) == 1 else sides


def parse_range(text: str) -> int | tuple[int, int]:
    """Return ``40`` as a number and ``20:60`` as a range, both ends included."""
    found = re.fullmatch(r"(\d+)(?::(\d+))?", text.strip())
    if not found:
        raise CytoCascadeError(f"{text!r} is no number of cells", hint="Write 40, or 20:60.")
    low = int(found[1])
    if found[2] is None:
        return low
    if int(found[2]) < low:
        raise CytoCascadeError(f"{text!r} is an empty range", hint="Write the smaller number first.")
    return low, int(found[2])


def parse_spacing(text: str) -> tuple[float, ...]:
    """Return ``0.25`` or ``0.5,0.25`` as micrometres per pixel."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not 1 <= len(values) <= 3 or not all(0 < value < 1e4 for value in values):
        raise CytoCascadeError(f"{text!r} is no spacing", hint="Write micrometres per pixel: 0.25, or y,x; or z,y,x.")
    return values * 2 if len(values) == 1 else values


def parse_voxel(text: str) -> tuple[float, float, float]:
    """Return ``0.5,0.25,0.25`` as micrometres per voxel along (z, y, x)."""
    values = parse_spacing(text)
    if len(values) != 3:
        raise CytoCascadeError(f"{text!r} is no voxel size", hint="Write micrometres along z,y,x: 0.5,0.25,0.25.")
    return values[0], values[1], values[2]


def parse_cubes(text: str) -> tuple[float, float, float]:
    """Return ``0.5,0.25,0.25`` as micrometres per voxel along (z, y, x), and ``0.25`` as cubes."""
    return parse_voxel(",".join([text] * 3) if "," not in text else text)


def parse_ratio(text: str) -> float | tuple[float, float]:
    """Return ``0.5`` as a number and ``0.4:0.6`` as a range."""
    try:
        values = [float(part) for part in text.split(":")]
    except ValueError:
        values = []
    if len(values) not in (1, 2) or not all(0 < value < 1e4 for value in values) or values[-1] < values[0]:
        raise CytoCascadeError(f"{text!r} is no ratio", hint="Write 0.5, or 0.4:0.6.")
    return values[0] if len(values) == 1 else (values[0], values[1])


def checked_model(model: type[Model], *, option_prefix: str = "", **wishes: Any) -> Model:
    """Return a pydantic model of what was asked for, or raise `CytoCascadeError` that names the first wrong one.

    With `option_prefix` the options of the command line begin with more than the names of the fields.
    """
    try:
        return model(**wishes)
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"][:1]).replace("_", "-")
        message = first["msg"].removeprefix("Value error, ")
        raise CytoCascadeError(
            f"--{option_prefix}{option}: {message}" if option else message,
            hint=f"See `cytocascade COMMAND --help`, or `{model.__name__}`.",
        ) from error
