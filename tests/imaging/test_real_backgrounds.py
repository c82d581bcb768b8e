"""Sampled backgrounds against background pixels of real images that were not fitted."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage as ndi

from cytocascade.imaging.background import draw_background, render_background
from cytocascade.imaging.camera import add_noise, to_output
from cytocascade.imaging.regions import prepare
from cytocascade.imaging.statistics import fit_imaging
from cytocascade.types import AnnotatedImage, Array

DATA = Path(__file__).parents[2].parent / "shared" / "data"
# Tolerance of the autocorrelation at lags 1 to 3. The 360 x 360 images differ much from one another in their
# large-scale background, so that four of them cannot tell it for four others.
ACF_TOLERANCE = {
    "ctc-fluo-n2dh-gowt1": 0.1,
    "ctc-fluo-n2dl-hela": 0.1,
    "bbbc039-u2os": 0.1,
    "dsb2018-fluo-360": 0.28,
    "usiigaci-t98g-phase": 0.1,
}


def _load(path: Path) -> AnnotatedImage:
    labels = tifffile.imread(path.parents[1] / "masks" / path.name)
    return AnnotatedImage(tifffile.imread(path), labels, (1.0, 1.0), path.stem)


def _describe(image: Array, mask: Array) -> tuple[float, Array, Array]:
    """Return standard deviation, quantiles and autocorrelation; debris is cut off at the 1 % quantiles."""
    values = image.astype(float)
    cut = np.clip(values, *np.percentile(values[mask], [1, 99]))
    centred = cut - cut[mask].mean()
    variance = (centred[mask] ** 2).mean()
    acf = []
    for axis in (0, 1):
        for lag in (1, 2, 3):
            rolled = np.roll(centred, lag, axis)
            both = mask & np.roll(mask, lag, axis)
            acf.append((centred * rolled)[both].mean() / variance)
    return float(cut[mask].std()), np.percentile(values[mask], [5, 25, 50, 75, 95]), np.array(acf)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="real images in shared/data are absent")
@pytest.mark.parametrize("name", ACF_TOLERANCE)
def test_sampled_background_is_like_that_of_other_images(name: str) -> None:
    paths = sorted((DATA / name / "images").glob("*.tif"))
    stride = len(paths) // 4
    started = time.process_time()
    statistics = fit_imaging([_load(path) for path in paths[::stride][:4]])
    assert time.process_time() - started < 15
    real, synthetic = [], []
    for index, path in enumerate(paths[stride // 2 :: stride][:4]):
        other = prepare(_load(path))
        params = draw_background(statistics, 1, name, index)
        signal = other.signal * np.float32(params["gain"] / other.gain if statistics.haze_widths else 1)
        background = render_background(params, statistics, other.image.shape, signal)
        image = to_output(add_noise(background, background, 1.0, params, statistics), statistics)
        assert image.dtype == other.image.dtype
        mask = other.free & (ndi.distance_transform_edt(other.labels == 0) > max(4.0, 0.6 * other.radius))
        real.append(_describe(other.image, mask))
        synthetic.append(_describe(image, mask))
    spread, quantiles, acf = (np.mean([item[k] for item in real], axis=0) for k in range(3))
    drawn_spread, drawn_quantiles, drawn_acf = (np.mean([item[k] for item in synthetic], axis=0) for k in range(3))
    assert drawn_spread == pytest.approx(spread, rel=0.25)
    # Quantiles of integers are only known to half a grey level, which matters where the spread is one level.
    assert np.abs(drawn_quantiles - quantiles).max() < 0.75 * spread + 0.5
    assert np.abs(drawn_acf - acf).max() < ACF_TOLERANCE[name]
