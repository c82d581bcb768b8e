"""Settings that have a name."""

from __future__ import annotations

from typing import Any

from cytocascade.errors import CytoCascadeError
from cytocascade.textures.stable_diffusion.config import Sampling

SAMPLERS = {
    "paper": Sampling(sampler="ddim", steps=50, guidance=5.0, strength=2.0, decay=0.825),
    "ddim": Sampling(sampler="ddim", steps=50),
    "dpm++": Sampling(sampler="dpm++", steps=20),
    "lcm": Sampling(sampler="lcm", steps=6),
}
"""Ways to sample. ``paper``: DDIM, 50 steps, eta 0, guidance 5 between the UNet with and without ControlNet, whose
layers weigh ``2 * 0.825 ** (12 - i)``: the defaults of the code of arXiv 2411.11515."""

FITS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "mode": "pixel",
        "hint": "mask",
        "train": "decoder",
        "learning_rate": 2e-6,
        "warmup": 0,
        "batch": 4,
        "ema": 0.0,
        "precision": "no",
        "sampling": SAMPLERS["paper"],
    },
}
"""Ways to fit. ``paper``: as the code of arXiv 2411.11515 trains Stable Diffusion 1.5: without its VAE, ControlNet and
the UNet's upward half (its ``sd_locked=False``), single precision, AdamW at 2e-6 with 4 cells per step."""


def parsed_sampling(text: str) -> Sampling:
    """Return the way to sample that ``paper`` or ``dpm++@10`` (in 10 steps) names, or raise `CytoCascadeError`."""
    name, _, steps = text.partition("@")
    # LCM was distilled for parts of 50 steps.
    most = 50 if name == "lcm" else 1000
    if name not in SAMPLERS or ("@" in text and not (steps.isdecimal() and 0 < int(steps) <= most)):
        raise CytoCascadeError(
            f"there is no texture sampler {text!r}",
            hint=f"Give one of {', '.join(SAMPLERS)}, with @10 behind it for 10 steps.",
        )
    return SAMPLERS[name].model_copy(update={"steps": int(steps)} if steps else {})


def fit_preset(name: str) -> dict[str, Any]:
    """Return the fields of `StableDiffusionOptions` that a preset sets, or raise `CytoCascadeError`."""
    if name not in FITS:
        raise CytoCascadeError(f"there is no preset {name!r}", hint=f"Give one of {', '.join(FITS)}.")
    return dict(FITS[name])
