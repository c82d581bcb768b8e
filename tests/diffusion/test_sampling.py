from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from cytocascade.diffusion import sampling
from cytocascade.diffusion.denoiser import Denoiser
from cytocascade.diffusion.sampling import Condition, map_single_threaded, sample, starting_noise

from .conftest import MakeDenoiser


@pytest.fixture
def model(make_denoiser: MakeDenoiser) -> Denoiser:
    return make_denoiser(scalars=2, styles=2)


def condition(count: int) -> Condition:
    scalars = torch.randn((count, 2), generator=torch.Generator().manual_seed(4))
    return Condition(None, scalars, torch.ones(count, dtype=torch.long))


def test_noise_of_a_sample_depends_on_its_seed_alone(model: Denoiser) -> None:
    many, alone = starting_noise(model, [3, 5, 8]), starting_noise(model, [5])
    assert many.shape == (3, 1, 16, 16)
    assert torch.equal(many[1], alone[0])
    assert not torch.equal(many[0], many[1])


def test_same_noise_gives_the_same_samples(model: Denoiser) -> None:
    noise = starting_noise(model, range(4))
    assert torch.equal(sample(model, noise, steps=3), sample(model, noise, steps=3))


def test_no_noise_gives_no_samples(model: Denoiser) -> None:
    assert sample(model, torch.zeros((0, 1, 16, 16)), steps=3).shape == (0, 1, 16, 16)


@pytest.mark.parametrize("count", [1, 7, 60])
def test_samples_do_not_depend_on_the_number_of_workers(model: Denoiser, count: int) -> None:
    noise, wishes = starting_noise(model, range(count)), condition(count)
    one, two, three = (sample(model, noise, wishes, steps=2, workers=workers) for workers in (1, 2, 3))
    assert torch.equal(one, two)
    assert torch.equal(one, three)


def test_samples_do_not_depend_on_the_content_of_the_others(model: Denoiser) -> None:
    noise = starting_noise(model, range(7))
    changed = starting_noise(model, [0, 1, 2, 103, 104, 105, 106])
    one, other = sample(model, noise, condition(7), steps=3), sample(model, changed, condition(7), steps=3)
    assert torch.equal(one[:3], other[:3])
    assert not torch.equal(one[3:], other[3:])


def test_samples_do_not_depend_on_other_chunks(model: Denoiser) -> None:
    noise, wishes = starting_noise(model, range(sampling.CHUNK + 7)), condition(sampling.CHUNK + 7)
    whole = sample(model, noise, wishes, steps=2)
    first = slice(0, sampling.CHUNK)
    assert torch.equal(whole[first], sample(model, noise[first], wishes.part(first), steps=2))


def test_sample_alone_is_that_of_a_batch_but_for_the_last_bits(model: Denoiser) -> None:
    # oneDNN picks its kernels by the batch's size, so the last bits differ: a field is always sampled whole,
    # with the chunks that follow from its number of cells.
    noise, wishes = starting_noise(model, range(7)), condition(7)
    together = sample(model, noise, wishes, steps=4)
    for i in range(7):
        alone = sample(model, noise[i : i + 1], wishes.part(slice(i, i + 1)), steps=4)
        assert torch.allclose(alone[0], together[i], atol=1e-4)


def test_guidance_of_one_is_no_guidance(model: Denoiser) -> None:
    noise, wishes = starting_noise(model, range(3)), condition(3)
    assert torch.equal(sample(model, noise, wishes, steps=3), sample(model, noise, wishes, steps=3, guidance=1.0))
    near = sample(model, noise, wishes, steps=3, guidance=1.0 + 1e-6)
    assert torch.allclose(near, sample(model, noise, wishes, steps=3), atol=1e-3)


def test_guidance_of_zero_withholds_the_condition(model: Denoiser) -> None:
    noise = starting_noise(model, range(3))
    other = Condition(None, torch.full((3, 2), 9.0), torch.zeros(3, dtype=torch.long))
    one, two = (sample(model, noise, wishes, steps=3, guidance=0.0) for wishes in (condition(3), other))
    assert torch.allclose(one, two, atol=1e-4)
    assert not torch.allclose(one, sample(model, noise, condition(3), steps=3), atol=1e-4)


def test_stronger_guidance_moves_samples_farther(model: Denoiser) -> None:
    noise, wishes = starting_noise(model, range(3)), condition(3)
    free, plain, strong = (sample(model, noise, wishes, steps=3, guidance=g) for g in (0.0, 1.0, 3.0))
    assert (strong - free).abs().mean() > (plain - free).abs().mean()


def test_sampling_leaves_the_thread_count_as_it_was(model: Denoiser) -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        map_single_threaded(lambda item: 1 // item, [1, 0], 2)
    assert torch.get_num_threads() == before


def test_items_keep_their_order_over_threads() -> None:
    assert map_single_threaded(lambda item: item * item, list(range(9)), 3) == [i * i for i in range(9)]


def test_part_and_device_keep_what_is_not_given() -> None:
    wishes = Condition(None, torch.arange(6.0).reshape(3, 2), None)
    part = wishes.part(slice(1, 2)).to(torch.device("cpu"))
    assert part.image is None
    assert part.style is None
    assert part.scalars is not None
    assert part.scalars.tolist() == [[2.0, 3.0]]


_COMPARE = """
import hashlib, torch
from cytocascade.diffusion.denoiser import Denoiser, DenoiserConfig
from cytocascade.diffusion.sampling import sample, starting_noise
torch.manual_seed(0)
model = Denoiser(DenoiserConfig(size=64, widths=(32, 64), stem_width=16, layers=1, attention=False)).eval()
model = model.to(memory_format=torch.channels_last)
noise = starting_noise(model, range(30))
for workers in (2, 1):
    print(hashlib.sha256(sample(model, noise, steps=1, workers=workers).numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_cores_per_operation_do_not_matter() -> None:
    found = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", _COMPARE], env=environment, capture_output=True, text=True, check=True
        )
        found.update(done.stdout.split())
    assert len(found) == 1
