"""Random generators derived from a seed and a name, so that every draw can be repeated alone."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def derive_seed(seed: int, *keys: str | int) -> int:
    """Return a 63-bit seed that depends on `seed` and on every key, and on nothing else.

    Parameters
    ----------
    seed : int
        The user's seed.
    *keys : str or int
        What the seed is for, for example ``("sample", 12, "texture")``.
    """
    text = "\x1f".join([str(int(seed)), *(str(key) for key in keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def numpy_generator(seed: int, *keys: str | int) -> np.random.Generator:
    """Return a numpy generator for ``derive_seed(seed, *keys)``."""
    return np.random.default_rng(derive_seed(seed, *keys))


def torch_generator(seed: int, *keys: str | int) -> torch.Generator:
    """Return a CPU torch generator for ``derive_seed(seed, *keys)``.

    Noise is always drawn on the CPU and then moved, so that a device does not change the draw.
    """
    return torch.Generator(device="cpu").manual_seed(derive_seed(seed, *keys))
