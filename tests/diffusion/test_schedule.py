from __future__ import annotations

import torch

from cytocascade.diffusion.schedule import TRAIN_STEPS, sampling_schedule, training_schedule


def test_both_solvers_share_one_noise_schedule() -> None:
    assert torch.equal(training_schedule().alphas_cumprod, sampling_schedule().alphas_cumprod)


def test_last_timestep_is_almost_pure_noise() -> None:
    kept = training_schedule().alphas_cumprod
    assert len(kept) == TRAIN_STEPS
    assert kept[-1] < 1e-4
    assert kept[0] > 0.999


def test_sampling_starts_at_the_last_timestep() -> None:
    schedule = sampling_schedule()
    schedule.set_timesteps(10)
    assert len(schedule.timesteps) == 10
    assert int(schedule.timesteps[0]) == TRAIN_STEPS - 1


def test_true_velocity_leads_back_to_the_clean_sample() -> None:
    clean = torch.full((1, 1, 4, 4), 0.7)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    training, schedule = training_schedule(), sampling_schedule()
    schedule.set_timesteps(12)
    x = noise
    for timestep in schedule.timesteps:
        kept = training.alphas_cumprod[timestep]
        implied = (x - kept.sqrt() * clean) / (1 - kept).sqrt()
        x = schedule.step(training.get_velocity(clean, implied, timestep[None]), timestep, x).prev_sample
    assert torch.allclose(x, clean, atol=2e-3)


def test_shift_makes_the_noise_stronger_at_every_timestep() -> None:
    plain, shifted = training_schedule().alphas_cumprod, training_schedule(2.0).alphas_cumprod
    clear = plain > 1e-3
    ratio = ((1 - shifted) / shifted) / ((1 - plain) / plain)
    assert torch.allclose(ratio[clear], torch.full_like(ratio[clear], 4.0), rtol=1e-2)
    assert torch.allclose(shifted, sampling_schedule(2.0).alphas_cumprod)
