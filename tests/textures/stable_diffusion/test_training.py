from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.textures.stable_diffusion import tiny

from cytocascade.diffusion.sampling import Condition
from cytocascade.diffusion.training import Batch
from cytocascade.errors import CytoCascadeError
from cytocascade.seeding import torch_generator
from cytocascade.textures.axial_fit import ellipses
from cytocascade.textures.model import condition_image, to_network
from cytocascade.textures.stable_diffusion import memory
from cytocascade.textures.stable_diffusion.config import StableDiffusionOptions
from cytocascade.textures.stable_diffusion.memory import estimate_memory, refuse_too_small
from cytocascade.textures.stable_diffusion.networks import kept_weights
from cytocascade.textures.stable_diffusion.task import Task, assemble
from cytocascade.textures.stable_diffusion.training import (
    chosen_precision,
    learning_rate,
    seconds_per_step,
    train_networks,
)

Weights = dict[str, torch.Tensor]
Trained = Callable[..., Weights]

# The tests are about training, not about cells: half of the sides that sampling is tested with.
SIZE = 16


def batch_at(number: int, cells: int = 2) -> Batch:
    distance = torch.as_tensor(ellipses(cells))[:, None]
    signal = (distance > 0).float() * (1 + 0.2 * torch.randn(distance.shape, generator=torch_generator(5, number)))
    condition = Condition(condition_image(distance), torch.zeros(cells, 2), torch.zeros(cells, dtype=torch.long))
    return Batch(to_network(signal, "fluorescence"), torch.ones_like(signal), condition)


def options_for(base: Path, controlnet: Path, **changes: Any) -> StableDiffusionOptions:
    given = {"base": str(base), "controlnet": str(controlnet), "latent_size": SIZE, "batch": 2, "learning_rate": 1e-3}
    return StableDiffusionOptions.model_validate(given | {"checkpoint_seconds": 1e-9} | changes)


def task_of(options: StableDiffusionOptions) -> Task:
    task = assemble(Path(options.base), options, "fluorescence", seed=3, start=None)
    return Task(task.networks, task.vae, task.prompt, task.config, task.modality, batch_at)


@pytest.fixture
def trained(sd_base: Path, sd_controlnet: Path) -> Trained:
    def run(steps: int = 2, checkpoint: Path | None = None, stop: int | None = None, **changes: Any) -> Weights:
        options = options_for(sd_base, sd_controlnet, **changes)
        task = task_of(options)

        def progress(done: int, total: int, loss: float) -> None:
            assert 0 < loss < 100
            if done == stop:
                raise KeyboardInterrupt

        train_networks(task, options, steps=steps, seed=1, checkpoint=checkpoint, progress=progress)
        return {name: value.clone() for name, value in kept_weights(task.networks).items()}

    return run


def same(one: Weights, other: Weights) -> bool:
    return set(one) == set(other) and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    "train",
    [
        "controlnet",
        "lora",
        pytest.param("decoder", marks=pytest.mark.slow),
        pytest.param("all", marks=pytest.mark.slow),
    ],
)
def test_resumed_training_equals_an_uninterrupted_one(trained: Trained, tmp_path: Path, train: str) -> None:
    whole = trained(train=train)
    with pytest.raises(KeyboardInterrupt):
        trained(train=train, checkpoint=tmp_path / "state.safetensors", stop=1)
    resumed = trained(train=train, checkpoint=tmp_path / "state.safetensors")
    assert same(whole, resumed)
    of_unet = {name for name in whole if name.startswith("unet.")}
    assert (train == "controlnet") == (not of_unet)
    assert all(("lora_" in name) == (train == "lora") for name in of_unet)


def test_checkpointing_changes_nothing_but_memory(trained: Trained) -> None:
    plain, checkpointed = trained(train="all", ema=0.0), trained(train="all", ema=0.0, checkpointing=True)
    for name, value in plain.items():
        torch.testing.assert_close(value, checkpointed[name], atol=2e-4, rtol=1e-3)


def test_averaged_weights_lag_behind(trained: Trained, sd_base: Path, sd_controlnet: Path) -> None:
    before = kept_weights(task_of(options_for(sd_base, sd_controlnet)).networks)
    last, averaged = trained(ema=0.0), trained(ema=0.999)
    moved = [sum(float((w[name] - v).abs().sum()) for name, v in before.items()) for w in (last, averaged)]
    assert 0 < moved[1] < moved[0]


def test_accumulated_batches_are_one_step(trained: Trained, sd_base: Path, sd_controlnet: Path) -> None:
    assert not same(trained(steps=1), trained(steps=1, accumulation=2))


def test_velocity_can_be_predicted(tmp_path: Path, sd_controlnet: Path) -> None:
    options = options_for(tiny.make_base(tmp_path / "base", prediction="v_prediction"), sd_controlnet)
    losses: list[float] = []
    train_networks(task_of(options), options, steps=1, seed=1, progress=lambda d, t, loss: losses.append(loss))
    told = options_for(tmp_path / "base", sd_controlnet, prediction="epsilon")
    train_networks(task_of(told), told, steps=1, seed=1, progress=lambda d, t, loss: losses.append(loss))
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_pixel_mode_is_trained_without_a_vae(sd_base: Path, sd_controlnet: Path) -> None:
    options = options_for(sd_base, sd_controlnet, mode="pixel", latent_size=64)
    task = replace(task_of(options), batch_at=lambda number: batch_at(number, cells=1))
    assert task.vae is None
    before = {name: value.clone() for name, value in kept_weights(task.networks).items()}
    train_networks(task, options, steps=1, seed=1)
    assert not same(before, kept_weights(task.networks))


def test_xl_is_trained_too(tmp_path: Path) -> None:
    base = tiny.make_base(tmp_path / "base", xl=True)
    options = StableDiffusionOptions(base=str(base), latent_size=SIZE, batch=1)
    task = task_of(options)
    train_networks(task, options, steps=1, seed=1)
    assert task.prompt.pooled is not None


def test_measuring_the_speed_changes_no_weight(sd_base: Path, sd_controlnet: Path) -> None:
    options = options_for(sd_base, sd_controlnet)
    task = task_of(options)
    before = {name: value.clone() for name, value in kept_weights(task.networks).items()}
    assert seconds_per_step(task, options, "cpu") > 0
    assert same(before, kept_weights(task.networks))


def test_divergence_is_told(sd_base: Path, sd_controlnet: Path) -> None:
    options = options_for(sd_base, sd_controlnet)
    task = task_of(options)
    with torch.no_grad():
        task.networks.controlnet.conv_in.weight.fill_(float("nan"))
    with pytest.raises(CytoCascadeError, match="diverged"):
        train_networks(task, options, steps=1, seed=1)


def test_learning_rate_warms_up_and_stays(sd_base: Path) -> None:
    options = StableDiffusionOptions(base="any", learning_rate=1.0, warmup=10)
    assert [learning_rate(step, 1000, options) for step in (0, 4, 9, 500)] == [0.1, 0.5, 1.0, 1.0]
    assert learning_rate(0, 5, options) == 1.0


def test_precision_follows_the_device() -> None:
    options = StableDiffusionOptions(base="any")
    assert chosen_precision(options, "cpu") == "no"
    assert chosen_precision(options.model_copy(update={"precision": "bf16"}), "cpu") == "bf16"


def test_memory_is_counted_before_it_is_needed(
    sd_base: Path, sd_controlnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options_for(sd_base, sd_controlnet)
    task = task_of(options)
    plain = estimate_memory(task, options, "no")
    trained = sum(value.numel() for _, value in task.networks.trained())
    assert plain.training == 16 * trained
    double = estimate_memory(task, options.model_copy(update={"batch": 4}), "no")
    assert double.activations == 2 * plain.activations
    assert estimate_memory(task, options.model_copy(update={"checkpointing": True}), "no").total < plain.total
    assert estimate_memory(task, options.model_copy(update={"ema": 0.0}), "no").training == 12 * trained
    assert estimate_memory(task, options, "bf16").total < plain.total
    refuse_too_small(plain, options, "cpu")
    monkeypatch.setattr(memory, "free_memory", lambda device: 1_000_000)
    with pytest.raises(CytoCascadeError, match="too small") as caught:
        refuse_too_small(plain, options, "cpu")
    for way in ("--sd-checkpointing", "--sd-batch 1 --sd-accumulation 2", "--sd-ema 0"):
        assert way in str(caught.value.hint)


def test_counted_activations_are_those_that_autograd_keeps(sd_base: Path, sd_controlnet: Path) -> None:
    options = options_for(sd_base, sd_controlnet, batch=1)
    task = task_of(options)
    kept = 0
    seen: set[int] = {value.untyped_storage().data_ptr() for value in task.networks.parameters()}

    def pack(value: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        storage = value.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            kept += storage.nbytes()
        return value

    task.networks.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        task.networks(
            torch.zeros(1, 4, SIZE, SIZE), torch.tensor([3]), torch.zeros(1, 3, 8 * SIZE, 8 * SIZE), task.prompt.tokens
        )
    assert estimate_memory(task, options, "no").activations == pytest.approx(kept, rel=0.1)
