"""How the arms of the experiment are called and in which order they are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

REAL, COPY_PASTE, SIMULATOR = "real", "real+copypaste", "real+simulator"
REAL_SYNTHETIC, ALL_REAL = "real+synthetic", "all-real"
ARMS = (REAL, COPY_PASTE, SIMULATOR, REAL_SYNTHETIC, "copypaste", "simulator", "synthetic", ALL_REAL)
"""What a segmenter can be trained on, in the order of the pages; ``@5`` behind a name: another amount."""


def without_amount(arm: str) -> str:
    """Return ``real+synthetic`` for ``real+synthetic@5``."""
    return arm.partition("@")[0]


def ordered(arms: Iterable[str]) -> list[str]:
    """Return each arm once, in the order of `ARMS` and of their amounts; unknown ones last, by name."""

    def key(arm: str) -> tuple[int, float, str]:
        name, _, amount = arm.partition("@")
        number = float(amount) if re.fullmatch(r"\d+(\.\d+)?", amount) else 0.0
        return (ARMS.index(name) if name in ARMS else len(ARMS), number, arm)

    return sorted(set(arms), key=key)
