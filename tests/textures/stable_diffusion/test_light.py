from __future__ import annotations

import pytest
import torch

from cytocascade.textures.model import condition_image
from cytocascade.textures.stable_diffusion.light import (
    GREYS,
    from_channels,
    from_picture,
    hint_picture,
    to_channels,
    to_picture,
)


def smooth(low: float, high: float) -> torch.Tensor:
    ramp = torch.linspace(low, high, 64)
    return (ramp[:, None] + ramp[None, :])[None, None] / 2


@pytest.mark.parametrize("modality", ["fluorescence", "phase"])
def test_pictures_keep_the_relative_signal(modality: str) -> None:
    low, high = GREYS[modality]  # type: ignore[index]
    signal = smooth(low + 0.1, high - 0.1)
    picture = to_picture(signal, modality, 512)  # type: ignore[arg-type]
    assert picture.shape == (1, 3, 512, 512)
    assert picture.min() >= -1
    assert picture.max() <= 1
    torch.testing.assert_close(from_picture(picture, modality), signal, atol=0.02, rtol=0)  # type: ignore[arg-type]


def test_a_tint_is_taken_away() -> None:
    picture = to_picture(smooth(0, 2), "fluorescence", 128)
    tinted = picture + torch.tensor([0.2, -0.1, -0.1])[None, :, None, None]
    plain = from_picture(picture, "fluorescence")
    torch.testing.assert_close(from_picture(tinted, "fluorescence"), plain, atol=1e-5, rtol=0)


def test_pixel_mode_repeats_and_averages_the_crop() -> None:
    signal = smooth(-0.2, 2.5)
    sample = to_channels(signal, "fluorescence", 4)
    assert sample.shape == (1, 4, 64, 64)
    assert (sample == sample[:, :1]).all()
    noisy = sample + torch.tensor([0.3, -0.3, 0.1, -0.1])[None, :, None, None]
    torch.testing.assert_close(from_channels(noisy, "fluorescence"), signal, atol=1e-5, rtol=0)


def test_hint_carries_mask_brightness_contrast_and_distance() -> None:
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    distance = (20 - torch.hypot(y, x))[None, None]
    condition = condition_image(distance)
    texture = torch.tensor([[0.0, 1.0]])
    hint = hint_picture(condition, texture, 512, "wishes")
    assert hint.shape == (1, 3, 512, 512)
    assert (hint >= 0).all()
    assert (hint <= 1).all()
    assert hint[0, :, 256, 256].tolist() == pytest.approx([0.5, torch.sigmoid(torch.tensor(1.0)).item(), 1.0])
    assert hint[0, :, 0, 0].tolist() == pytest.approx([0.0, 0.0, 0.0])
    # The mask's area is that of the outline, to less than a pixel of the crop around it.
    area = float((hint[0, 0] > 0.25).float().sum()) / 64
    assert area == pytest.approx(3.1416 * 20**2, rel=0.03)
    plain = hint_picture(condition, texture, 512, "mask")
    assert (plain == plain[:, :1]).all()
    assert torch.equal(plain[:, 0], hint[:, 0])
    brighter = hint_picture(condition, texture + 1, 512, "mask")
    assert brighter[0, 0, 256, 256] > plain[0, 0, 256, 256]
