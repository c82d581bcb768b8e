"""What does the experiment say? The answer in plain words, and whether the goal is met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from cytocascade.benefit.statistics import Interval, Ratio

if TYPE_CHECKING:  # `results` writes the verdict into its file.
    from cytocascade.benefit.results import Benefit, Difference

RELATIVE_GOAL, GAP_GOAL = 0.09, 0.60
"""Wanted: a gain of this share of the SEG of real images alone, or this share of the gap to all of them."""

_BASELINES = {"real+copypaste": "copy-paste", "real+simulator": "the simulator"}


class Goal(BaseModel):
    """Whether synthetic images help as much as wanted. Booleans are none where runs are missing."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    relative_gain: float | None
    """SEG of `real+synthetic` over that of `real`, minus 1."""
    gap_closed: float | None
    """Share of the gap in SEG from `real` to `all-real`; none also where there is no gap."""
    over_copypaste: float | None
    """SEG of `real+synthetic` minus that of `real+copypaste`."""
    over_simulator: float | None
    """SEG of `real+synthetic` minus that of `real+simulator`."""
    clear: bool | None
    """Whether the 95 % interval of the gain lies above zero; shown, not asked for."""
    raises_enough: bool | None
    """Whether the relative gain is at least `RELATIVE_GOAL`."""
    closes_enough: bool | None
    """Whether at least `GAP_GOAL` of the gap is closed; no where there is no gap."""
    beats_copypaste: bool | None
    """Whether it gains at least as much as copy-paste."""
    beats_simulator: bool | None
    """Whether it gains at least as much as the simulator."""
    met: bool | None
    """Raises enough or closes enough, and gains at least as much as both baselines."""


def goal(benefit: Benefit) -> Goal:
    """Return whether synthetic images reach the goal, by the means over seeds; of `Benefit.headline`."""
    found = benefit.difference(benefit.headline, "real")
    copypaste, simulator = (benefit.difference(benefit.headline, arm) for arm in _BASELINES)
    relative = None if found is None or found.relative is None else found.relative.mean
    gap = None if found is None or found.gap_closed is None else found.gap_closed.mean
    known_gap = found is not None and "all-real" in benefit.arms
    raises = None if relative is None else relative >= RELATIVE_GOAL
    closes = (gap is not None and gap >= GAP_GOAL) if known_gap else None
    beats = [None if one is None else one.absolute.mean >= 0 for one in (copypaste, simulator)]
    return Goal(
        relative_gain=relative,
        gap_closed=gap,
        over_copypaste=None if copypaste is None else copypaste.absolute.mean,
        over_simulator=None if simulator is None else simulator.absolute.mean,
        clear=None if found is None else found.absolute.low > 0,
        raises_enough=raises,
        closes_enough=closes,
        beats_copypaste=beats[0],
        beats_simulator=beats[1],
        met=_all([_any([raises, closes]), *beats]),
    )


def verdict(benefit: Benefit) -> str:
    """Return the answer in a few plain sentences; the interval of the difference decides the wording."""
    found = benefit.difference(benefit.headline, "real")
    if found is None:
        lacking = [arm for arm in ("real", benefit.headline) if arm not in benefit.arms]
        return f"No answer yet: there are no runs of {_listed([f'“{arm}”' for arm in lacking])}."
    sentences = [
        _place(benefit) + _effect(benefit, found) + _gap(benefit, found) + ".",
        *_baselines(benefit),
        *_caveats(benefit),
    ]
    return " ".join(sentences)


def signed(value: float, digits: int = 3) -> str:
    """Return a number with its sign, as it is written in print."""
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−")


def percent(value: float) -> str:
    """Return a share as signed percent; one digit after the point below 100 %."""
    return f"{signed(100 * value, 1 if abs(value) < 1 else 0)} %"


def _place(benefit: Benefit) -> str:
    amount = benefit.headline.partition("@")[2]
    what = f"adding synthetic images ({amount} times the real)" if amount else "adding synthetic images"
    validation = benefit.experiment.scored_on == "validation"
    return f"On the validation images, {what} " if validation else f"{_capital(what)} "


def _effect(benefit: Benefit, found: Difference) -> str:
    real, synthetic = (benefit.arms[arm]["SEG"].mean for arm in ("real", benefit.headline))
    how_much = gain_in_words(found.absolute, found.relative)
    if found.absolute.low > 0:
        return f"raises SEG from {real:.3f} to {synthetic:.3f} ({how_much})"
    if found.absolute.high < 0:
        return f"lowers SEG from {real:.3f} to {synthetic:.3f} ({how_much})"
    return (
        f"makes no clear difference: SEG is {real:.3f} without and {synthetic:.3f} with them ({how_much}; "
        "the interval includes zero)"
    )


def gain_in_words(absolute: Interval, relative: Ratio | None) -> str:
    """Return a gain with its interval, in percent where that is known, else as it is."""
    if relative is None or relative.low is None or relative.high is None:
        return f"{signed(absolute.mean)}, 95 % interval {signed(absolute.low)} to {signed(absolute.high)}"
    return f"{percent(relative.mean)}, 95 % interval {percent(relative.low)} to {percent(relative.high)}"


def _gap(benefit: Benefit, found: Difference) -> str:
    """Return how near it comes to the ceiling; said of clear gains only."""
    if "all-real" not in benefit.arms or found.absolute.low <= 0:
        return ""
    count = len(benefit.experiment.all_training_images)
    images = f"all {count} images" if count > 1 else "the whole image"
    ceiling = benefit.arms["all-real"]["SEG"].mean
    gap = found.gap_closed
    if gap is None:
        return f"; training on {images} does not even reach real alone ({ceiling:.3f})"
    if gap.mean >= 1:
        return f"; that is as much as training on {images} gives ({ceiling:.3f})"
    if gap.low is None or gap.high is None:
        return f"; training on {images} gives {ceiling:.3f}, too near to say what share of the gap is closed"
    return f"; it closes {100 * gap.mean:.0f} % of the gap to training on {images}"


def _baselines(benefit: Benefit) -> list[str]:
    """Return what the baselines reached, and which of them did better than synthetic images."""
    present = {arm: name for arm, name in _BASELINES.items() if arm in benefit.arms}
    if not present:
        return []
    figures = [f"{benefit.arms[arm]['SEG'].mean:.3f}" for arm in present]
    verbs = ["reached ", *[""] * (len(figures) - 1)]
    words = [f"{name} {verb}{figure}" for name, verb, figure in zip(present.values(), verbs, figures)]
    said = [_capital(", ".join(words)) + "."]
    against = {name: benefit.difference(benefit.headline, arm) for arm, name in present.items()}
    clearly = [name for name, one in against.items() if one is not None and one.absolute.high < 0]
    slightly = [name for name, one in against.items() if one is not None and one.absolute.mean < 0 <= one.absolute.high]
    if clearly:
        said.append(f"{_capital(_listed(clearly))} did clearly better than synthetic images.")
    if slightly:
        said.append(f"{_capital(_listed(slightly))} did slightly better, within the uncertainty.")
    return said


def _caveats(benefit: Benefit) -> list[str]:
    said = []
    arms = [arm for arm in ("real", benefit.headline) if len(benefit.runs_of(arm)) == 1]
    if len(arms) == 2:
        said.append("One segmenter per arm was trained, so the interval leaves out how training varies by chance.")
    if len(benefit.experiment.scored_images) == 1:
        said.append("One image was tested, so the interval leaves out how images vary.")
    if benefit.missing:
        wanted = len(benefit.experiment.arms) * len(benefit.experiment.seeds)
        said.append(f"Preliminary: {len(benefit.missing)} of {wanted} runs are missing.")
    return said


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _all(values: Sequence[bool | None]) -> bool | None:
    return False if False in values else (None if None in values else True)


def _any(values: Sequence[bool | None]) -> bool | None:
    return True if True in values else (None if None in values else False)
