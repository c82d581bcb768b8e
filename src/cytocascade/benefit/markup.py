"""Cells of the tables on the page of the segmentation experiment."""

from __future__ import annotations

from html import escape

from cytocascade.benefit.charts import look
from cytocascade.benefit.results import Benefit, Difference
from cytocascade.benefit.statistics import Interval, Ratio
from cytocascade.benefit.verdict import percent, signed
from cytocascade.evaluation.instances import metric_named

NOTHING = "–"


def arm_name(benefit: Benefit, arm: str) -> str:
    """Return the name of an arm behind a dot of its colour."""
    its = look(benefit, arm)
    return f'<b class="key" style="background:{its.colour}"></b>{escape(its.title)}'


def mean_and_range(one: Interval, *, bold: bool, digits: int) -> str:
    """Return a mean above its interval."""
    mean = f"{one.mean:.{digits}f}"
    words = f"<strong>{mean}</strong>" if bold else mean
    return f'{words}<br><span class="range">{one.low:.{digits}f} – {one.high:.{digits}f}</span>'


def absolute(one: Difference | None) -> tuple[str, str]:
    """Return a difference and its interval; a dash if there is none."""
    if one is None:
        return NOTHING, ""
    digits = 1 if one.metric in ("merges", "splits") else 3
    mean, low, high = (signed(value, digits) for value in (one.absolute.mean, one.absolute.low, one.absolute.high))
    return mean, f"{low} to {high}"


def in_percent(one: Ratio | None, *, sign: bool = True) -> tuple[str, str]:
    """Return a ratio in percent and its interval, open where it is unbounded; a dash if there is none."""
    if one is None:
        return NOTHING, ""
    if one.low is None and one.high is None:
        return _share(one.mean, sign), "unknown"
    if one.low is None or one.high is None:
        end, bound = ("at most", one.high) if one.low is None else ("at least", one.low)
        return _share(one.mean, sign), f"{end} {_share(bound or 0.0, sign)}"
    return _share(one.mean, sign), f"{_share(one.low, sign)} to {_share(one.high, sign)}"


def stacked(figures: tuple[str, str], *, kind: str = "even") -> str:
    """Return a figure above its interval; `kind` as `clearly` says."""
    return f'<span class="{kind}">{figures[0]}</span><br><span class="range">{figures[1]}</span>'


def clearly(one: Difference) -> str:
    """Return ``met`` if a difference is clearly for the better, ``missed`` if for the worse, else ``even``."""
    if one.absolute.low <= 0 <= one.absolute.high:
        return "even"
    return "met" if (one.absolute.mean > 0) == metric_named(one.metric).higher_is_better else "missed"


def _share(value: float, sign: bool) -> str:
    words = percent(value) if sign else percent(value).removeprefix("+")
    return words.replace(" %", "&nbsp;%")
