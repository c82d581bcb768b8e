"""The one noise schedule of all diffusion stages, and its solvers."""

from __future__ import annotations

from diffusers import DDPMScheduler, DPMSolverMultistepScheduler

TRAIN_STEPS = 1000
"""Timesteps of the noise schedule (Ho et al. 2020)."""

_SCHEDULE = {
    "num_train_timesteps": TRAIN_STEPS,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
}


def training_schedule() -> DDPMScheduler:
    """Return the cosine schedule (Nichol & Dhariwal 2021) with v-prediction (Salimans & Ho 2022)."""
    return DDPMScheduler(**_SCHEDULE, clip_sample=False)


def sampling_schedule() -> DPMSolverMultistepScheduler:
    """Return DPM-Solver++ (2M, Lu et al. 2022): deterministic, so the starting noise decides the sample."""
    return DPMSolverMultistepScheduler(
        **_SCHEDULE,
        algorithm_type="dpmsolver++",
        solver_order=2,
        timestep_spacing="trailing",
        lower_order_final=True,
    )
