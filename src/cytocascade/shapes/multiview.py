"""Multi-view diffusion: all sixteen views of a cell at once, from its mask (SyncDreamer, Liu et al., arXiv 2309.03453).

The views are made to agree by one spatial feature volume: the noisy views are encoded and unprojected into it, a
3D network conditioned on the timestep works on it, and every view looks it up again along its own lines of sight, with
attention over depth, inside the denoising U-Net. Cameras are orthographic unless told otherwise, so a frustum is a box.
"""

from __future__ import annotations

from typing import Any, Self, cast

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from torch import Tensor, nn
from torch.nn import functional

from cytocascade.diffusion.denoiser import Denoiser, DenoiserConfig
from cytocascade.diffusion.network import Network
from cytocascade.shapes.cameras import ELEVATION, ORTHOGRAPHIC, VIEW_SIZE, VIEWS, azimuths, project, ray_points, ring

CELL_SCALARS = 4
"""Length of the vector that describes a cell, see `bank.cell_scalars`."""

_ANGLES = 5


class MultiViewConfig(BaseModel):
    """Shape of a `MultiViewDenoiser`."""

    model_config = ConfigDict(extra="forbid")

    encoder_width: int = Field(16, ge=4)
    """Channels per encoded view."""
    nodes: int = Field(16, ge=4)
    """Nodes of the feature volume along each axis."""
    volume_width: int = Field(32, ge=8)
    """Channels of the feature volume."""
    depths: int = Field(12, ge=2)
    """Points along each line of sight at which a view looks the volume up."""
    camera_distance: float | None = Field(None, gt=3**0.5)
    """Distance of the cameras from the middle of the cube, in canonical units; by default they are orthographic."""
    painter: DenoiserConfig = DenoiserConfig(
        size=VIEW_SIZE,
        channels=3,
        condition_channels=1,
        scalars=CELL_SCALARS + _ANGLES,
        styles=2,
        stem_width=16,
        widths=(32, 64, 96),
        layers=1,
    )
    """The network that denoises each view."""

    @model_serializer(mode="wrap")
    def _without_orthographic(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = write(self)
        # Networks that were trained before stay the same bytes.
        if values["camera_distance"] is None:
            del values["camera_distance"]
        return values


MULTIVIEW_DENOISER = MultiViewConfig()
"""Shape of the multi-view network."""


class _Block(nn.Module):
    """A residual block of the 3D network."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv3d(width, width, 3, padding=1))
        self.time = nn.Linear(embedding, 2 * width)
        self.norm = nn.GroupNorm(8, width)
        self.second = nn.Sequential(nn.SiLU(), nn.Conv3d(width, width, 3, padding=1))

    def forward(self, volume: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.time(time)[:, :, None, None, None].chunk(2, dim=1)
        return cast(Tensor, volume + self.second(self.norm(self.first(volume)) * (1 + scale) + shift))


class _DepthAttention(nn.Module):
    """Every pixel of a view attends to the volume's features along its line of sight.

    Keys and values are linear in the features. So their matrices are applied to the query and to the result instead,
    which is the same, and far fewer operations.
    """

    def __init__(self, view_width: int, volume_width: int, depths: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(view_width, volume_width, 1)
        self.place = nn.Conv2d(view_width, depths, 1)
        self.out = nn.Conv2d(volume_width, view_width, 1)

    def forward(self, view: Tensor, rays: Tensor) -> Tensor:
        """Return `view`, (B, V, h, w), with what it found in `rays`, (B, W, D, h, w)."""
        score = (self.query(view)[:, :, None] * rays).sum(dim=1) / rays.shape[1] ** 0.5
        chance = (score + self.place(view)).softmax(dim=1)
        return cast(Tensor, view + self.out((chance[:, None] * rays).sum(dim=2)))


class MultiViewDenoiser(Network):
    """Predict v of the sixteen noisy views of a cell.

    Parameters
    ----------
    config : MultiViewConfig
        Shape of the network.
    """

    config: MultiViewConfig
    project: Tensor
    above: Tensor
    frusta: Tensor
    place: Tensor
    angles: Tensor

    def __init__(self, config: MultiViewConfig) -> None:
        super().__init__()
        self.config = config
        width, volume, painter = config.encoder_width, config.volume_width, config.painter
        embedding = 4 * volume
        self.steps = Timesteps(volume, True, 0)
        self.time = TimestepEmbedding(volume, embedding)
        self.vector = nn.Linear(painter.scalars - _ANGLES, embedding)
        self.encoder = _encoder(painter.channels, width)
        self.mask_encoder = _encoder(1, width)
        self.lift = nn.Conv2d(width, width, 1)
        self.lift_depth = nn.Parameter(0.3 * torch.randn(width))
        self.join = nn.Conv2d(VIEWS * width + width + 3, volume, 1)
        self.before = nn.ModuleList([_Block(volume, embedding)])
        self.down = nn.Conv3d(volume, 2 * volume, 2, stride=2)
        self.deep = nn.ModuleList([_Block(2 * volume, embedding) for _ in range(2)])
        self.up = nn.Conv3d(2 * volume, volume, 1)
        self.after = nn.ModuleList([_Block(volume, embedding)])
        self.attention = nn.ModuleList([_DepthAttention(painter.widths[0], volume, config.depths) for _ in range(2)])
        self.painter = Denoiser(painter)
        self._place_cameras()

    def _place_cameras(self) -> None:
        """Prepare where the volume's nodes are seen in the views, and where the views' rays run in the volume."""
        nodes = self.config.nodes
        axis = (torch.arange(nodes) + 0.5) * (2 / nodes) - 1
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        points = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
        seen = project(points, ring(), self.camera_distance)
        rays = ray_points(ring(), self.config.painter.size // 2, _spread(self.config.depths), self.camera_distance)
        angle, elevation = azimuths(), torch.deg2rad(torch.tensor(ELEVATION))
        embedded = [torch.cos(angle), torch.sin(angle), torch.cos(2 * angle), torch.sin(2 * angle)]
        for name, value in {
            "project": seen.reshape(VIEWS, nodes**2, nodes, 3),
            "above": points[:, :2],
            "frusta": rays,
            "place": torch.stack([x, y, z]).reshape(3, nodes**2, nodes),
            "angles": torch.stack([*embedded, torch.sin(elevation).expand(VIEWS)], dim=1),
        }.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def camera_distance(self) -> float:
        """Distance of the cameras whose views are drawn, in canonical units; infinite if they are orthographic."""
        return ORTHOGRAPHIC if self.config.camera_distance is None else self.config.camera_distance

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, (16, channels, size, size)."""
        return VIEWS, *self.painter.sample_shape

    def for_convolutions(self) -> Self:
        """Arrange the painter's weights channels-last, and return the network."""
        self.painter.for_convolutions()
        return self

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        image: Tensor | None = None,
        scalars: Tensor | None = None,
        style: Tensor | None = None,
        dropped: Tensor | None = None,
        views: Tensor | None = None,
    ) -> Tensor:
        """Predict v.

        Parameters
        ----------
        sample : Tensor, (B, 16, 3, S, S)
            Noisy views, see `views.to_network`.
        timestep : Tensor, (B,) or ()
            Diffusion timestep.
        image : Tensor, (B, 1, 64, 64)
            Canonical mask: what is seen along z.
        scalars : Tensor, (B, 4)
            Size and axial ratio, see `bank.cell_scalars`.
        style : Tensor of int, (B,), optional
            0 for nuclei, 1 for whole cells.
        dropped : Tensor of bool, (B,), optional
            Where true, scalars and style are withheld.
        views : Tensor of int, (B, M), optional
            Views to predict; all by default. v is 0 in the others.

        Returns
        -------
        Tensor, (B, 16, 3, S, S)
        """
        batch = len(sample)
        if image is None:
            image = sample.new_full((batch, 1, 64, 64), -1.0)
        if scalars is None:
            scalars = sample.new_zeros((batch, CELL_SCALARS))
        if style is None:
            style = torch.zeros(batch, dtype=torch.long, device=sample.device)
        if dropped is not None:
            scalars = scalars * (~dropped[:, None])
        timestep = timestep.expand(batch) if timestep.ndim == 0 else timestep
        mask = functional.avg_pool2d((image * 4).clamp(-1, 1), image.shape[-1] // sample.shape[-1])
        volume = self._volume(sample, timestep, mask, scalars)
        chosen = torch.arange(VIEWS, device=sample.device).expand(batch, -1) if views is None else views
        painted = self._paint(sample, timestep, mask, scalars, style, dropped, volume, chosen)
        if views is None:
            return painted
        index = views[:, :, None, None, None].expand_as(painted)
        return torch.zeros_like(sample).scatter(1, index, painted)

    def _volume(self, sample: Tensor, timestep: Tensor, mask: Tensor, scalars: Tensor) -> Tensor:
        """Return the feature volume that all views share, (B, W, n, n, n)."""
        batch, nodes = len(sample), self.config.nodes
        # Linear, so it commutes with the interpolation, and is applied where there are fewer points.
        encoded = self.lift(self.encoder(sample.flatten(0, 1)))
        where = self.project[..., :2].repeat(batch, 1, 1, 1)
        lifted = functional.grid_sample(encoded, where, align_corners=False)
        lifted = lifted.reshape(batch, VIEWS, -1, nodes**2, nodes)
        lifted = functional.silu(lifted + self.lift_depth[:, None, None] * self.project[:, None, ..., 2]).flatten(1, 2)
        seen_above = self.above.reshape(1, nodes**2, nodes, 2).expand(batch, -1, -1, -1)
        above = functional.grid_sample(self.mask_encoder(mask), seen_above, align_corners=False)
        joined = self.join(torch.cat([lifted, above, self.place.expand(batch, -1, -1, -1)], dim=1))
        volume = joined.reshape(batch, -1, nodes, nodes, nodes)
        time = self.time(self.steps(timestep).to(sample.dtype)) + self.vector(scalars)
        for block in self.before:
            volume = block(volume, time)
        deep = self.down(volume)
        for block in self.deep:
            deep = block(deep, time)
        volume = volume + functional.interpolate(self.up(deep), scale_factor=2.0, mode="trilinear")
        for block in self.after:
            volume = block(volume, time)
        return cast(Tensor, volume)

    def _paint(
        self,
        sample: Tensor,
        timestep: Tensor,
        mask: Tensor,
        scalars: Tensor,
        style: Tensor,
        dropped: Tensor | None,
        volume: Tensor,
        chosen: Tensor,
    ) -> Tensor:
        """Return v of the chosen views, (B, M, 3, S, S)."""
        batch, count = chosen.shape
        points = self.frusta[chosen].reshape(batch, -1, *self.frusta.shape[2:4], 3)
        rays = functional.grid_sample(volume, points, align_corners=False)
        rays = rays.reshape(batch, volume.shape[1], count, *self.frusta.shape[1:4]).transpose(1, 2).flatten(0, 1)
        index = chosen[:, :, None, None, None].expand(-1, -1, *sample.shape[2:])
        angles = self.angles[chosen]
        told = torch.cat([scalars[:, None].expand(-1, count, -1), angles], dim=2)

        def couple(features: Tensor, place: int) -> Tensor:
            return cast(Tensor, self.attention[place](features, rays))

        painted = self.painter(
            sample.gather(1, index).flatten(0, 1),
            timestep.repeat_interleave(count),
            mask.repeat_interleave(count, dim=0),
            told.flatten(0, 1),
            style.repeat_interleave(count),
            # The painter must always know its camera: only what is told of the cell is withheld.
            None,
            couple,
        )
        return cast(Tensor, painted.reshape(batch, count, *sample.shape[2:]))


def _spread(count: int) -> Tensor:
    """Return depths at the middles of `count` equal parts of [-1, 1]."""
    return (torch.arange(count) + 0.5) * (2.0 / count) - 1.0


def _encoder(channels: int, width: int) -> nn.Sequential:
    """Return a network that halves the resolution."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(width, width, 4, stride=2, padding=1),
        nn.SiLU(),
        nn.Conv2d(width, width, 3, padding=1),
    )
