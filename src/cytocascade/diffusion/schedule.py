"""The one noise schedule of all diffusion stages, and its solvers."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler

TRAIN_STEPS = 1000
"""Timesteps of the noise schedule (Ho et al. 2020)."""

_SCHEDULE = {
    "num_train_timesteps": TRAIN_STEPS,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
}


def training_schedule(shift: float = 1.0) -> DDPMScheduler:
    """Return the cosine schedule (Nichol & Dhariwal 2021) with v-prediction (Salimans & Ho 2022).

    Parameters
    ----------
    shift : float
        Factor on the noise, relative to the sample, at every timestep. Neighbouring pixels of finer samples tell the
        same: with as much noise as coarse ones they would be easy to see through (Hoogeboom et al., *simple diffusion*,
        ICML 2023).
    """
    return DDPMScheduler(**_shifted(shift), clip_sample=False)


def sampling_schedule(shift: float = 1.0) -> DPMSolverMultistepScheduler:
    """Return DPM-Solver++ (2M, Lu et al. 2022): deterministic, so the starting noise decides the sample.

    `shift` as for `training_schedule`.
    """
    return DPMSolverMultistepScheduler(
        **_shifted(shift),
        algorithm_type="dpmsolver++",
        solver_order=2,
        timestep_spacing="trailing",
        lower_order_final=True,
    )


def _shifted(shift: float) -> dict[str, Any]:
    if shift == 1.0:
        return dict(_SCHEDULE)
    kept = DDPMScheduler(**_SCHEDULE).alphas_cumprod.double()
    kept = kept / (kept + (1.0 - kept) * shift**2)
    betas = 1.0 - kept / torch.cat([kept.new_ones(1), kept[:-1]])
    return {**_SCHEDULE, "trained_betas": betas.tolist()}
