from __future__ import annotations

import numpy as np
import pytest

from cytocascade.imaging.blur import blur, blur_alone
from cytocascade.imaging.planes import correlated_fields, sample_planes
from cytocascade.imaging.psf import ConePsf, GaussianPsf
from cytocascade.types import Array

SPACING = (0.5, 0.25, 0.25)


def _deviation(profile: Array, step: float) -> float:
    place = np.arange(len(profile)) * step
    weight = profile / profile.sum()
    return float(np.sqrt((weight * (place - (weight * place).sum()) ** 2).sum()))


def test_a_point_becomes_a_gaussian_of_the_given_widths() -> None:
    point = np.zeros((41, 41, 41), dtype=np.float32)
    point[20, 20, 20] = 1
    seen = blur(point, SPACING, GaussianPsf(axial=1.2, lateral=0.4))
    assert _deviation(seen.sum(axis=(1, 2)), 0.5) == pytest.approx(1.2, rel=0.02)
    assert _deviation(seen.sum(axis=(0, 1)), 0.25) == pytest.approx(0.4, rel=0.02)
    assert seen.argmax() == point.argmax()


@pytest.mark.parametrize(
    "psf", [GaussianPsf(axial=2.0, lateral=0.7), ConePsf(axial=1.0, halo=0.4, halo_axial=3.0, spread=0.6)]
)
def test_light_is_conserved_also_at_the_faces(psf: GaussianPsf | ConePsf) -> None:
    light = np.zeros((9, 40, 44), dtype=np.float32)
    light[0, 0, 0] = light[8, 20, 43] = light[4, 20, 20] = 100
    assert blur(light, SPACING, psf).sum() == pytest.approx(300, rel=0.01)


def test_nothing_is_done_without_width() -> None:
    light = np.random.default_rng(0).random((5, 6, 7), dtype=np.float32)
    assert np.array_equal(blur(light, SPACING, GaussianPsf(axial=0.0)), light)


def test_out_of_focus_light_of_a_cone_spreads_sideways_and_focused_light_does_not() -> None:
    point = np.zeros((41, 81, 81), dtype=np.float32)
    point[20, 40, 40] = 1
    seen = blur(point, SPACING, ConePsf(axial=2.0, spread=0.5))
    assert seen[20].max() == pytest.approx(seen[20].sum(), rel=1e-4)
    for planes in (4, 8):
        assert _deviation(seen[20 + planes].sum(axis=0), 0.25) == pytest.approx(0.5 * planes * 0.5, rel=0.05)


def test_pieces_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    light = np.random.default_rng(1).random((12, 33, 20), dtype=np.float32)
    psf = ConePsf(axial=0.8, halo=0.2, halo_axial=2.0, spread=0.3)
    whole = blur(light, SPACING, psf, out_step=0.7)
    monkeypatch.setattr("cytocascade.imaging.blur._CHUNK", 1000)
    assert np.allclose(blur(light, SPACING, psf, out_step=0.7), whole, atol=1e-6)


def test_a_cell_blurred_alone_equals_the_cell_blurred_in_an_empty_stack() -> None:
    psf = ConePsf(axial=0.8, halo=0.3, halo_axial=1.6, spread=0.7)
    cell = np.random.default_rng(2).random((6, 12, 12), dtype=np.float32)
    for start, faces in (
        ((10, 20, 20), ((False,) * 2,) * 3),
        ((0, 20, 0), ((True, False), (False,) * 2, (True, False))),
    ):
        stack = np.zeros((28, 60, 60), dtype=np.float32)
        box = tuple(slice(a, a + n) for a, n in zip(start, cell.shape))
        stack[box] = cell
        alone = blur_alone(cell, SPACING, psf, at_face=faces)
        assert np.allclose(alone, blur(stack, SPACING, psf)[box], atol=0.01)


def test_planes_are_sampled_at_whole_and_fractional_steps() -> None:
    heights = (np.arange(24) + 0.5) * 0.5
    volume = np.broadcast_to(heights[:, None, None], (24, 3, 2)).astype(np.float32)
    for step, planes in ((1.0, 12), (0.75, 16), (1.1, 11), (0.5, 24)):
        seen = sample_planes(volume, 0.5, step)
        assert seen.shape == (planes, 3, 2)
        wanted = 6.0 + (np.arange(planes) - (planes - 1) / 2) * step
        assert np.allclose(seen[:, 0, 0], np.clip(wanted, heights[0], heights[-1]), atol=1e-5)
    box = np.zeros((12, 1, 1), dtype=np.float32)
    box[4:6] = 1
    assert sample_planes(box, 0.5, 1.5, average=True).ravel() == pytest.approx([0, 2 / 3, 0, 0])


def test_fields_are_correlated_along_z_and_standard_normal() -> None:
    def draw(number: int) -> Array:
        return np.random.default_rng(number).standard_normal((120, 120), dtype=np.float32)

    fields = np.stack(list(correlated_fields(draw, 12, 2.0)))
    assert fields.std() == pytest.approx(1, abs=0.02)
    for lag in (1, 3):
        correlation = float((fields[lag:] * fields[:-lag]).mean())
        assert correlation == pytest.approx(np.exp(-(lag**2) / 16), abs=0.03)
    apart = np.stack(list(correlated_fields(draw, 3, 0.0)))
    assert np.array_equal(apart[2], draw(2))
