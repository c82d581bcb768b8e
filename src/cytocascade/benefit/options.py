"""What is asked of the experiment."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from cytocascade.errors import CytoCascadeError
from cytocascade.recorded import LeftOutUnset, Recorded
from cytocascade.segmentation.base import SegmenterOptions
from cytocascade.textures.stable_diffusion.config import StableDiffusionOptions

Source = Literal["copypaste", "simulator", "synthetic"]
"""Where images come from that are added to the real ones."""

DEFAULT_ARMS = ("real", "real+copypaste", "real+simulator", "real+synthetic", "all-real")

_ARM = re.compile(r"(?:(real)\+)?(copypaste|simulator|synthetic)(?:@(\d+(?:\.\d+)?))?")
_CELLS = re.compile(r"(\d+) ?cells?")


class Arm(BaseModel):
    """What one segmenter is trained on.

    Written ``real``, ``all-real``, ``synthetic`` or ``real+synthetic``; ``real+synthetic@5`` says how many times as
    much as the real images is made.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """As written."""
    real: Literal["budget", "all", "none"]
    """Which real images are used."""
    source: Source | None = None
    """What is added to them."""
    amount: float | None = Field(None, gt=0)
    """How many times the area of the budget's real images is made; by default `BenefitOptions.amount`."""

    @classmethod
    def parsed(cls, text: str) -> Arm:
        """Return an arm from its name, or raise `CytoCascadeError`."""
        if text == "real":
            return cls(name=text, real="budget")
        if text == "all-real":
            return cls(name=text, real="all")
        match = _ARM.fullmatch(text)
        if match is None or (match[3] is not None and float(match[3]) <= 0):
            raise CytoCascadeError(
                f"there is no arm {text!r}",
                hint="Arms are real, all-real, synthetic, simulator, copypaste, and real+ one of the last three; "
                "@5 behind a name makes five times as much as there is real.",
            )
        amount = None if match[3] is None else float(match[3])
        return cls(name=text, real="budget" if match[1] else "none", source=match[2], amount=amount)


class Budget(BaseModel):
    """How much annotated data there is to learn from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: int | None = Field(None, ge=1)
    """Whole images, or"""
    cells: int | None = Field(None, ge=1)
    """a fully annotated window of about so many cells."""

    @classmethod
    def parsed(cls, text: str) -> Budget:
        """Return a budget from ``4`` or ``20cells``, or raise `CytoCascadeError`."""
        match = _CELLS.fullmatch(text.strip())
        if match and int(match[1]) > 0:
            return cls(cells=int(match[1]))
        if text.strip().isdecimal() and int(text) > 0:
            return cls(images=int(text))
        raise CytoCascadeError(
            f"{text!r} is no budget", hint="Give a number of images, for example 4, or of cells, for example 20cells."
        )


class BenefitOptions(Recorded):
    """How the experiment is done."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: int = Field(2, ge=2, le=3)
    """2 for images, 3 for volumes."""
    budget: str = "4"
    """Images, or about so many cells; see `Budget`."""
    arms: tuple[str, ...] = DEFAULT_ARMS
    """See `Arm`."""
    seeds: int = Field(3, ge=1)
    """Segmenters per arm."""
    amount: float = Field(10.0, gt=0)
    """Area of the images that are added, as a multiple of the budget's."""
    max_images: int = Field(200, ge=1)
    """At most so many images are made per source."""
    variety: float = Field(1.0, ge=0, le=1)
    """How far generated and simulated images reach beyond the budget's; see `cytocascade.variety`."""
    real_share: float = Field(0.5, gt=0, lt=1)
    """Share of the training crops that are real, where both kinds are used."""
    split: Literal["even", "ordered"] = "even"
    """``even``: test images are spread over all; ``ordered``: they are the last ones, for videos."""
    test_fraction: float = Field(0.5, gt=0, lt=1)
    """Share of the images that are kept for testing."""
    score_on: Literal["test", "validation"] = "test"
    """``validation``: a part of the training images is kept out of all arms and tested on, for tuning; the test
    images are then never looked at."""
    base: str = "nuclei"
    """Bundle that the cascade is fitted from; ``scratch`` for none."""
    fit_seconds: float | None = Field(300.0, gt=0)
    """Time for fitting the cascade, or"""
    fit_steps: int | None = Field(None, ge=1)
    """optimiser steps of each of its networks: exactly repeatable."""
    keep_best: float = Field(1.0, gt=0, le=1)
    """Share of the synthetic images that is used, those best learned from; see `cytocascade.benefit.selection`."""
    segmenter: str = "cellpose"
    """See `cytocascade.segmentation.registry`."""
    training: SegmenterOptions = SegmenterOptions()
    """How the segmenters are trained."""
    stable_diffusion: Annotated[StableDiffusionOptions | None, LeftOutUnset()] = None
    """Let the cascade paint with Stable Diffusion, instead of the compact network."""
    seed: int = 0
    """Seed of the split, the cascade, the added images and the segmenters."""

    @field_validator("arms")
    @classmethod
    def _distinct(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        if not arms:
            raise ValueError("at least one arm is needed")
        if len(set(arms)) < len(arms):
            raise ValueError("every arm can be given once")
        return arms

    def parsed_arms(self) -> list[Arm]:
        """Return the arms."""
        return [Arm.parsed(name) for name in self.arms]
