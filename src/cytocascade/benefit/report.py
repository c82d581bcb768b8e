"""Gathers the pictures of the report from the folder of an experiment."""

from __future__ import annotations

from collections.abc import Sequence

from cytocascade.benefit.options import Arm
from cytocascade.benefit.results import Benefit
from cytocascade.benefit.training import Laboratory


def write_report(benefit: Benefit, laboratory: Laboratory, arms: Sequence[Arm]) -> None:
    """Write ``index.html``."""
