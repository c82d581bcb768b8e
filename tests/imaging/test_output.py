from __future__ import annotations

import numpy as np
import pytest

from cytocascade.imaging.output import OutputFormat, fit_output, quantise


def _ramp(dtype: str = "uint16", top: int = 5000) -> np.ndarray:
    return np.random.default_rng(0).integers(100, top, (200, 200)).astype(dtype)


def test_unsaturated_images_may_use_the_whole_dtype() -> None:
    output = fit_output([_ramp()])
    assert (output.low, output.high, output.step, output.levels) == (0, 65535, 1, [])


def test_pile_up_at_the_top_is_saturation() -> None:
    image = np.minimum(_ramp(), 4095)
    output = fit_output([image])
    assert output.high == 4095
    assert quantise(np.array([[9000.0]], dtype=np.float32), output)[0, 0] == 4095


def test_multiples_of_sixteen_stay_multiples() -> None:
    output = fit_output([(_ramp(top=4000) * 16).astype(np.uint16)])
    assert output.step == 16
    drawn = quantise(np.linspace(0, 60000, 999, dtype=np.float32), output)
    assert (drawn % 16 == 0).all()


def test_rounding_is_half_to_even() -> None:
    output = OutputFormat(dtype="uint8", low=0, high=255, step=1, origin=0, levels=[])
    drawn = quantise(np.array([0.5, 1.5, 2.5, -3.0, 300.0], dtype=np.float32), output)
    assert drawn.tolist() == [0, 2, 2, 0, 255]
    assert drawn.dtype == np.uint8


def test_uint16_with_an_offset_of_32768_is_exact() -> None:
    output = fit_output([_ramp() + np.uint16(33000)])
    assert quantise(np.array([33000.4, 36863.6], dtype=np.float32), output).tolist() == [33000, 36864]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floating_point_is_neither_rounded_nor_clipped(dtype: str) -> None:
    image = np.random.default_rng(0).normal(0, 1, (100, 100)).astype(dtype)
    output = fit_output([image])
    drawn = quantise(np.array([-7.25, 9.5], dtype=np.float32), output)
    assert drawn.dtype == np.dtype(dtype)
    assert drawn.tolist() == [-7.25, 9.5]
