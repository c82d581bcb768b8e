from __future__ import annotations

import numpy as np
import torch

from cytocascade.seeding import derive_seed, numpy_generator, torch_generator


def test_derived_seed_never_changes() -> None:
    # A change of these numbers would break every manifest that users have.
    assert derive_seed(0, "sample", 12) == 6039221494204530814
    assert derive_seed(0) != derive_seed(1)


def test_derived_seeds_fit_into_63_bits_and_differ() -> None:
    seeds = {derive_seed(seed, "sample", index) for seed in range(20) for index in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_keys_are_not_run_together() -> None:
    assert derive_seed(0, "a", "b") != derive_seed(0, "ab")
    assert derive_seed(0, "a", 1, 2) != derive_seed(0, "a", 12)
    assert derive_seed(1, 2) != derive_seed(12)
    assert derive_seed(0, "a", "b") != derive_seed(0, "b", "a")


def test_negative_and_huge_seeds_are_taken() -> None:
    assert len({derive_seed(seed) for seed in (-1, 1, 2**70)}) == 3


def test_numpy_generators_repeat_their_draws() -> None:
    one, again, other = (numpy_generator(3, key).normal(size=5) for key in ("a", "a", "b"))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_torch_generators_repeat_their_draws_on_the_cpu() -> None:
    one, again, other = (torch.randn(5, generator=torch_generator(3, key)) for key in ("a", "a", "b"))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch_generator(3).device.type == "cpu"


def test_global_generators_are_left_alone() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        wanted = torch.randn(3)
        torch.manual_seed(0)
        torch_generator(5, "x")
        assert torch.equal(torch.randn(3), wanted)
