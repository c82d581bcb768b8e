"""What every network that predicts v has in common, whatever a sample is."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel
from torch import nn


class Network(nn.Module):
    """A network that is trained by `training.train`, sampled from by `sampling.sample` and kept by `checkpoints`.

    It is called as ``network(sample, timestep, dropped=..., **condition)`` with the fields of `sampling.Condition`, and
    returns v (Salimans & Ho 2022) in the shape of `sample`.
    """

    config: BaseModel

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch."""
        raise NotImplementedError

    @property
    def noise_shift(self) -> float:
        """Factor on the noise, relative to the sample, at every timestep; see `diffusion.schedule`."""
        return 1.0

    def for_convolutions(self) -> Self:
        """Arrange the weights as convolutions are fastest with, and return the network."""
        return self

    def parameter_count(self) -> int:
        """Return the number of weights."""
        return sum(parameter.numel() for parameter in self.parameters())
