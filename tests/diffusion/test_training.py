from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors import safe_open

from cytocascade.diffusion.denoiser import Denoiser
from cytocascade.diffusion.training import Batch, TrainingConfig, learning_rate, train
from cytocascade.errors import CytoCascadeError

from .conftest import MakeDenoiser

Batches = Callable[[int], Batch]


class Killed(Exception):
    pass


def same_weights(one: Denoiser, other: Denoiser) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


def test_learning_rate_warms_up_and_decays_to_a_twentieth() -> None:
    config = TrainingConfig(steps=1000, learning_rate=1e-3, warmup=10)
    rates = [learning_rate(step, config) for step in range(1001)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3, rel=0.01)
    assert rates.index(max(rates)) == 9
    assert all(later <= earlier for earlier, later in pairwise(rates[9:]))
    assert rates[-1] == pytest.approx(5e-5)


def test_learning_rate_without_warm_up_starts_at_its_peak() -> None:
    assert learning_rate(0, TrainingConfig(learning_rate=1e-3, warmup=0)) == pytest.approx(1e-3)


def test_training_lowers_the_loss(make_denoiser: MakeDenoiser, blob_batches: Batches) -> None:
    losses: list[float] = []
    config = TrainingConfig(steps=40, batch=8, learning_rate=1e-2, warmup=2, ema=0.9)
    model = make_denoiser(scalars=1)
    assert train(model, blob_batches, config, seed=0, progress=lambda i, n, loss: losses.append(loss)) is model
    assert losses[-1] < 0.75 * losses[0]
    assert not model.training


def test_progress_reports_every_step(make_denoiser: MakeDenoiser, blob_batches: Batches) -> None:
    seen: list[tuple[int, int]] = []
    config = TrainingConfig(steps=3)
    train(make_denoiser(scalars=1), blob_batches, config, seed=0, progress=lambda i, n, _: seen.append((i, n)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_unweighted_pixels_are_not_learned(make_denoiser: MakeDenoiser, blob_batches: Batches) -> None:
    def with_garbage(step: int, value: float) -> Batch:
        batch = blob_batches(step)
        weight = batch.weight.clone()
        weight[..., :4, :] = 0
        target = batch.target.clone()
        target[weight == 0] = value
        return Batch(target, weight, batch.condition)

    losses: dict[float, float] = {}
    for value in (0.0, 0.5):
        model = make_denoiser(scalars=1)
        with torch.no_grad():
            for parameter in model.head[-1].parameters():
                parameter.zero_()
        train(
            model,
            lambda step, value=value: with_garbage(step, value),
            TrainingConfig(steps=1),
            seed=0,
            progress=lambda i, n, loss, value=value: losses.__setitem__(value, loss),
        )
    # With a head of zeros the prediction is zero: the loss is the weighted size of v alone.
    assert losses[0.0] == losses[0.5]


def test_same_seed_gives_the_same_weights_and_another_does_not(
    make_denoiser: MakeDenoiser, blob_batches: Batches
) -> None:
    config = TrainingConfig(steps=3, learning_rate=1e-2, warmup=0)
    one, again, other = (train(make_denoiser(scalars=1), blob_batches, config, seed=s) for s in (1, 1, 2))
    assert same_weights(one, again)
    assert not same_weights(one, other)


def test_global_random_state_does_not_matter(make_denoiser: MakeDenoiser, blob_batches: Batches) -> None:
    config = TrainingConfig(steps=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        one = train(make_denoiser(scalars=1), blob_batches, config, seed=0)
        torch.manual_seed(2)
        assert same_weights(one, train(make_denoiser(scalars=1), blob_batches, config, seed=0))


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("stop_in", ["progress", "batch_at"])
def test_interrupted_training_ends_with_the_weights_of_an_undisturbed_one(
    make_denoiser: MakeDenoiser, blob_batches: Batches, tmp_path: Path, stop_in: str, attention: bool
) -> None:
    # checkpoint_seconds is so short that every step is saved.
    config = TrainingConfig(steps=5, learning_rate=1e-2, warmup=2, ema=0.9, checkpoint_seconds=1e-9)
    shape = {"scalars": 1, "attention": attention, "widths": (8, 32)}
    undisturbed = train(make_denoiser(**shape), blob_batches, config, seed=3)
    checkpoint = tmp_path / "state.safetensors"
    asked: list[int] = []

    def batch_at(step: int) -> Batch:
        if stop_in == "batch_at" and step == 3:
            raise Killed
        return blob_batches(step)

    def progress(done: int, total: int, loss: float) -> None:
        if stop_in == "progress" and done == 3:
            raise Killed

    def counting(step: int) -> Batch:
        asked.append(step)
        return blob_batches(step)

    with pytest.raises(Killed):
        train(make_denoiser(**shape), batch_at, config, seed=3, checkpoint=checkpoint, progress=progress)
    # A model with other starting weights shows that everything comes from the checkpoint.
    resumed = train(make_denoiser(9, **shape), counting, config, seed=3, checkpoint=checkpoint)
    assert asked == [3, 4]
    assert same_weights(undisturbed, resumed)


def test_interrupted_training_of_the_real_mask_network_resumes_exactly(tmp_path: Path) -> None:
    from cytocascade.diffusion.sampling import Condition
    from cytocascade.masks.maskddpm import MASK_DENOISER
    from cytocascade.seeding import torch_generator

    def new() -> Denoiser:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Denoiser(MASK_DENOISER)

    def batch_at(step: int) -> Batch:
        target = torch.randn((2, 1, 32, 32), generator=torch_generator(0, step))
        return Batch(target, torch.ones_like(target), Condition(None, target[:, 0, 0, :3], None))

    def stop(done: int, total: int, loss: float) -> None:
        if done == 1:
            raise Killed

    config = TrainingConfig(steps=3, learning_rate=1e-3, warmup=0, checkpoint_seconds=1e-9)
    checkpoint = tmp_path / "state.safetensors"
    undisturbed = train(new(), batch_at, config, seed=0)
    with pytest.raises(Killed):
        train(new(), batch_at, config, seed=0, checkpoint=checkpoint, progress=stop)
    assert same_weights(undisturbed, train(new(), batch_at, config, seed=0, checkpoint=checkpoint))


def test_finished_training_is_not_repeated(make_denoiser: MakeDenoiser, blob_batches: Batches, tmp_path: Path) -> None:
    config = TrainingConfig(steps=2)
    checkpoint = tmp_path / "state.safetensors"
    first = train(make_denoiser(scalars=1), blob_batches, config, seed=0, checkpoint=checkpoint)

    def never(step: int) -> Batch:
        raise AssertionError

    assert same_weights(first, train(make_denoiser(9, scalars=1), never, config, seed=0, checkpoint=checkpoint))


def test_checkpoint_is_safetensors_with_the_step_in_its_metadata(
    make_denoiser: MakeDenoiser, blob_batches: Batches, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    train(make_denoiser(scalars=1), blob_batches, TrainingConfig(steps=2), seed=0, checkpoint=checkpoint)
    with safe_open(checkpoint, framework="pt") as file:
        assert file.metadata()["step"] == "2"
        assert {"model", "ema", "adam"} == {key.split("/")[0] for key in file.keys()}  # noqa: SIM118
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_damaged_checkpoint_is_named_in_the_error(
    make_denoiser: MakeDenoiser, blob_batches: Batches, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    config = TrainingConfig(steps=1)
    train(make_denoiser(scalars=1), blob_batches, config, seed=0, checkpoint=checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(CytoCascadeError) as caught:
        train(make_denoiser(scalars=1), blob_batches, config, seed=0, checkpoint=checkpoint)
    assert caught.value.path == checkpoint
    assert caught.value.hint


def test_checkpoint_of_another_network_is_named_in_the_error(
    make_denoiser: MakeDenoiser, blob_batches: Batches, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    config = TrainingConfig(steps=1)
    train(make_denoiser(scalars=1), blob_batches, config, seed=0, checkpoint=checkpoint)
    with pytest.raises(CytoCascadeError) as caught:
        train(make_denoiser(scalars=1, widths=(8, 24)), blob_batches, config, seed=0, checkpoint=checkpoint)
    assert caught.value.path == checkpoint


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"ema": 1.0}, {"mixed_precision": "fp8"}, {"epochs": 3}])
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainingConfig(**wrong)
