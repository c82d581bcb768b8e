"""Texture: diffusion of a cell's light, conditioned on its mask, brightness and contrast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage as ndi
from torch import Tensor

from cytocascade.diffusion.checkpoints import save_denoiser
from cytocascade.diffusion.denoiser import Denoiser, DenoiserConfig
from cytocascade.diffusion.sampling import Condition, sample, starting_noise
from cytocascade.diffusion.training import Batch
from cytocascade.errors import CytoCascadeError
from cytocascade.images.augment import apply_warp, draw_warp
from cytocascade.images.cells import CROP_SIZE, Modality, SingleCells
from cytocascade.images.descriptors import TEXTURE_NAMES
from cytocascade.seeding import torch_generator
from cytocascade.textures.alignment import aligned
from cytocascade.textures.base import TexturePainter
from cytocascade.types import BoolArray, FloatArray

TEXTURE_DENOISER = DenoiserConfig(
    size=CROP_SIZE,
    condition_channels=1,
    scalars=len(TEXTURE_NAMES),
    widths=(32, 64, 128, 192),
    stem_width=16,
    layers=1,
)
"""Shape of the texture network."""

TEXTURE_STEPS = 14
"""Network evaluations per texture."""

CALM = 0.8
"""Temperature of textures in phase contrast: the factor on the noise that they start from.

A network of few parameters does not know all that it sees, and paints the rest as noise: outlines tear, and bodies are
mottled. Less noise leads it to what is likelier, a whole outline and a calm body (the temperature of Kingma and
Dhariwal, *Glow*, NeurIPS 2018, section 6, here for a diffusion model that is sampled without noise of its own).
Contrast and grain are calibrated afterwards.
"""

RIM = 9.0
"""Distance outside the outline, in canonical pixels, up to which a texture is learned and kept."""

FADING = 0.45
"""Share of the rim over which light fades to nothing."""

DARKEST_RIM = -0.015
"""Least light outside the outline, relative to that of the cell: fluorescence adds light, the rest is noise."""

Textures = Denoiser | TexturePainter
"""What a bundle paints with: the compact network, or another way to paint."""

_MASK_SCALE = 8.0
_OFFSET, _SCALE = 0.5, 1.5
_LIMITS = {"fluorescence": (-1.5, 4.5), "phase": (-3.0, 3.5)}


def condition_image(distance: Tensor) -> Tensor:
    """Return the mask as the texture network sees it: signed distance over 8 pixels, in [-1, 1]."""
    return (distance / _MASK_SCALE).clamp(-1, 1)


def with_scalars(told: FloatArray, count: int) -> FloatArray:
    """Return the first `count` columns of what a network is told; it is told 0 of what is unknown."""
    more = max(0, count - told.shape[1])
    return np.pad(told, [(0, 0), (0, more)])[:, :count]


def to_network(signal: Tensor, modality: Modality) -> Tensor:
    """Map relative signal (1 = the cell's mean) to the network's range."""
    low, high = _LIMITS[modality]
    centre = _OFFSET if modality == "fluorescence" else 0.0
    return (signal.clamp(low, high) - centre) * _SCALE


def from_network(values: Tensor, modality: Modality) -> Tensor:
    """Invert `to_network`."""
    low, high = _LIMITS[modality]
    centre = _OFFSET if modality == "fluorescence" else 0.0
    return (values / _SCALE + centre).clamp(low, high)


def texture_batches(
    cells: SingleCells,
    texture: FloatArray,
    styles: Sequence[int] | None,
    *,
    batch: int,
    steps: int,
    seed: int,
    pick: FloatArray | None = None,
) -> Callable[[int], Batch]:
    """Return the training batches of the texture model as a function of the step.

    The last quarter of the steps moves cells by exact symmetries only, so that noise and fine
    grain are learned as they are; before it, free rotation and bending keep cells from being memorised.
    Where neighbours in a row are more (or less) alike than in a column, these symmetries keep rows rows.

    Parameters
    ----------
    cells : SingleCells
        Real cells.
    texture : ndarray, (n, 2) float32
        Their `TEXTURE_NAMES`.
    styles : sequence of int, optional
        Data-set index of every cell.
    batch, steps : int
        Cells per batch and number of steps.
    seed : int
        Seed of choice and deformation.
    pick : ndarray, (n,), optional
        Chance of every cell to be picked, up to a factor.
    """
    known = cells.known | (cells.distance > 0)
    signal = torch.as_tensor(np.where(known, cells.signal, 0.0).astype(np.float32))[:, None]
    others = torch.as_tensor(np.stack([cells.distance, known.astype(np.float32)], axis=1))
    scalars = torch.as_tensor(texture)
    style = torch.zeros(len(cells), dtype=torch.long) if styles is None else torch.as_tensor(list(styles))
    upright = rows_differ_from_columns(cells)
    weights = torch.ones(len(cells)) if pick is None else torch.as_tensor(pick, dtype=torch.float32)

    def batch_at(step: int) -> Batch:
        generator = torch_generator(seed, "textures", step)
        chosen = torch.multinomial(weights, batch, replacement=True, generator=generator)
        exact = 1.0 if step >= 0.75 * steps else 0.4
        warp = draw_warp(batch, generator, exact=exact, bend=float(cells.fineness), upright=upright)
        moved = apply_warp(signal[chosen], warp, CROP_SIZE * cells.fineness, mode="bicubic")
        moved_others = apply_warp(others[chosen], warp, CROP_SIZE * cells.fineness)
        distance, valid = moved_others[:, :1], moved_others[:, 1:]
        target = to_network(moved, cells.modality)
        # Near the outline every pixel counts; far from it only a little, where it must be dark.
        weight = (valid > 0.99).float() * torch.where(distance > -RIM, 1.0, 0.1)
        condition = condition_image(distance * warp.zoom[:, None, None, None])
        return Batch(target, weight, Condition(condition, scalars[chosen], style[chosen]))

    return batch_at


def rows_differ_from_columns(cells: SingleCells) -> bool:
    """Return whether the fine grain inside cells depends on the direction, as in line-scanned or resampled images."""
    every = max(1, len(cells) // 200)
    signal, inside = cells.signal[::every], cells.distance[::every] > 2.0
    fine = np.where(inside, signal - ndi.gaussian_filter(signal, (0.0, 1.4, 1.4)), 0.0)
    power = float(np.square(fine).sum())
    if power <= 0:
        return False
    across, down = float((fine[..., 1:] * fine[..., :-1]).sum()), float((fine[:, 1:] * fine[:, :-1]).sum())
    return abs(across - down) > 0.1 * power


def sample_textures(
    model: Textures,
    distance: FloatArray,
    texture: FloatArray,
    seeds: Sequence[int],
    *,
    modality: Modality,
    style: int = 0,
    steps: int | None = None,
    guidance: float = 1.0,
    contrast: float = 1.0,
    align: bool = False,
    temperature: float = 1.0,
    workers: int = 1,
) -> FloatArray:
    """Paint light into masks.

    Parameters
    ----------
    model : Denoiser or TexturePainter
        Trained texture model.
    distance : ndarray, (n, 64, 64) float32
        Signed distances of the masks in canonical pixels.
    texture : ndarray, (n, 2) or (n, 3) float32
        Wished `TEXTURE_NAMES`, and the logarithm of the cells' magnification where they are magnified.
    seeds : sequence of int
        One seed per cell.
    modality : {"fluorescence", "phase"}
        What the model was trained on.
    style, steps, guidance, workers
        See `cytocascade.textures.base.TexturePainter`.
    contrast : float
        Factor on the deviations from the mean inside the mask (fluorescence), or from the background (phase contrast).
    align : bool
        Whether light that strays from the outline is moved there (fluorescence); see `textures.alignment`.
    temperature : float, (0, 1]
        Factor on the noise that they start from; see `CALM`.

    Returns
    -------
    ndarray, (n, 64, 64) float32
        Relative signal: in fluorescence its mean inside the mask is exactly 1. Farther than `RIM` canonical
        pixels from the outline it means nothing; `fade` ends it.
    """
    noise = temperature * starting_noise(model, seeds)
    signal = painted(
        model, noise, distance, texture, modality=modality, style=style, steps=steps, guidance=guidance, workers=workers
    )
    if modality == "fluorescence":
        if align:
            signal = aligned(signal, distance)
        signal = with_contrast(_unit_mean(signal, distance > 0), distance, contrast)
        signal = calm_rim(signal, distance)
    else:
        signal = signal * np.float32(contrast)
    return np.asarray(signal, dtype=np.float32)


def painted(
    model: Textures,
    noise: Tensor,
    distance: FloatArray,
    texture: FloatArray,
    *,
    modality: Modality,
    style: int = 0,
    steps: int | None = None,
    guidance: float = 1.0,
    workers: int = 1,
) -> FloatArray:
    """Return the relative signal that the network makes of `noise`, (n, 64, 64) float32, as it comes.

    Parameters as for `sample_textures`; `noise` is N(0, I), (n, *model.sample_shape).
    """
    return painter_of(model).paint(
        noise, distance, texture, modality=modality, style=style, steps=steps, guidance=guidance, workers=workers
    )


def sampled_by(model: Textures, sampler: str | None) -> Textures:
    """Return what paints as `model`, sampled as wished; `CytoCascadeError` if it cannot be."""
    return model if sampler is None else painter_of(model).sampled_by(sampler)


def usual_texture_steps(model: Textures) -> int | None:
    """Return the network evaluations per texture of a bundle; None where its painter's own settings tell them."""
    return TEXTURE_STEPS if isinstance(model, Denoiser) else None


def painter_of(model: Textures) -> TexturePainter:
    """Return textures as a painter, whichever they are."""
    return CompactPainter(model) if isinstance(model, Denoiser) else model


class CompactPainter:
    """Paints with the compact network; a `textures.base.TexturePainter`.

    Parameters
    ----------
    model : Denoiser
        Trained texture model.
    """

    def __init__(self, model: Denoiser) -> None:
        self.model = model

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one cell's starting noise, (1, 64, 64)."""
        return self.model.sample_shape

    def sampled_by(self, sampler: str) -> TexturePainter:
        """Refuse: the compact network has one sampler."""
        raise CytoCascadeError(
            f"the texture sampler {sampler!r} is for bundles that paint with Stable Diffusion, which this one does not",
            hint="Leave --texture-sampler out, or fit with --texture-backend stable-diffusion.",
        )

    def save(self, path: Path) -> None:
        """Write the network."""
        save_denoiser(path, self.model)

    def paint(
        self,
        noise: Tensor,
        distance: FloatArray,
        texture: FloatArray,
        *,
        modality: Modality,
        style: int = 0,
        steps: int | None = None,
        guidance: float = 1.0,
        workers: int = 1,
    ) -> FloatArray:
        """Return the relative signal that becomes of `noise`; see `textures.base.TexturePainter`."""
        outline = torch.as_tensor(distance, dtype=torch.float32)[:, None]
        condition = Condition(
            condition_image(outline),
            torch.as_tensor(with_scalars(texture, self.model.config.scalars), dtype=torch.float32),
            torch.full((len(distance),), style, dtype=torch.long),
        )
        steps = TEXTURE_STEPS if steps is None else steps
        values = sample(self.model, noise, condition, steps=steps, guidance=guidance, workers=workers)
        return np.asarray(from_network(values, modality)[:, 0].numpy(), dtype=np.float32)


def with_contrast(signal: FloatArray, distance: FloatArray, contrast: float) -> FloatArray:
    """Multiply the deviations from the mean by `contrast`, keeping mean and edge profile.

    Parameters
    ----------
    signal, distance : ndarray, (n, 64, 64) float32
        Relative signal and signed distance of the masks.
    contrast : float
        1 leaves the signal as it is. The factor sets in over four pixels inside the outline.
    """
    return _unit_mean(stretched(signal, distance, contrast), distance > 0)


def stretched(signal: FloatArray, distance: FloatArray, contrast: float) -> FloatArray:
    """Return `with_contrast` before its means are brought back to 1."""
    depth = np.clip(distance / 4.0, 0.0, 1.0)
    return np.asarray(signal + (contrast - 1.0) * depth * (signal - 1.0))


def _unit_mean(signal: FloatArray, inside: BoolArray) -> FloatArray:
    mean = (signal * inside).sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1)
    return np.asarray(signal / np.clip(mean, 0.2, 5.0)[:, None, None], dtype=np.float32)


def calm_rim(signal: FloatArray, distance: FloatArray) -> FloatArray:
    """Smooth the light outside the masks: what is grainy there is noise, which the camera adds itself.

    Parameters
    ----------
    signal, distance : ndarray, (n, 64, 64) float32
        Relative signal and signed distance of the masks. From 0.5 to 2.5 pixels outside the outline the
        signal goes over into its Gaussian average.
    """
    smooth = ndi.gaussian_filter(signal, (0.0, 1.2, 1.2))
    outside = np.clip((-distance - 0.5) / 2.0, 0.0, 1.0)
    return np.asarray(signal + outside * (smooth - signal), dtype=np.float32)


def grain(distance: FloatArray) -> FloatArray:
    """Return where textures hold noise of their own: 1 inside the masks, 0 from two pixels outside on."""
    return np.asarray(np.clip(1.0 + distance / 2.0, 0.0, 1.0), dtype=np.float32)


def without_holes(signal: FloatArray, distance: FloatArray) -> FloatArray:
    """Return the light of fluorescent cells without dark rims, of which only as much is left as noise makes.

    Cells that are unlike those of the training can get rims that take light away, which no fluorophore does.

    Parameters
    ----------
    signal : ndarray, (n, S, S) float32
        Relative light.
    distance : ndarray, (n, S, S) float32
        Signed distance to the outline, positive inside.
    """
    return np.where(distance > 0, signal, np.maximum(signal, DARKEST_RIM)).astype(np.float32)


def fade(distance: FloatArray, rim: float | FloatArray = RIM) -> FloatArray:
    """Return a weight that is 1 in and near the mask and falls smoothly to 0 at `rim` outside it.

    `rim` is one for all, or one for each, (n, 1, 1). The fall sets in at 1 - `FADING` of it.
    """
    t = np.clip((distance + rim) / (FADING * rim), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)
