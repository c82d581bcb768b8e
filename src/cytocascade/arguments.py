"""Reading durations, sizes, ranges and spacings as they are written on the command line."""

from __future__ import annotations

import re

from cytocascade.errors import CytoCascadeError


def parse_duration(text: str) -> float:
    """Return the seconds of ``90s``, ``10m`` or ``2h``; a bare number counts minutes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if not found or float(found[1]) <= 0:
        raise CytoCascadeError(f"{text!r} is no duration", hint="Write 90s, 10m or 2h.")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "": 60}[found[2]]


def parse_size(text: str) -> tuple[int, ...]:
    """Return the pixels of ``512x512`` (Y x X); one number is a square."""
    if not re.fullmatch(r"\d+(x\d+){0,2}", text.strip().lower()):
        raise CytoCascadeError(f"{text!r} is no size", hint="Write 512x512: pixels along Y and X.")
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
        raise CytoCascadeError(f"{text!r} is no spacing", hint="Write micrometres per pixel: 0.25, or y,x.")
    return values * 2 if len(values) == 1 else values
