from __future__ import annotations

from dataclasses import replace

import numpy as np

from cytocascade.evaluation import evaluate
from cytocascade.evaluation.identity import tracks
from cytocascade.evaluation.measured import MeasuredSet, measure_set, select_images
from cytocascade.evaluation.memorisation import memorisation_check
from cytocascade.types import AnnotatedImage

from .scenes import scenes


def measured(images: list[AnnotatedImage]) -> MeasuredSet:
    return measure_set(*select_images(images, "test"), "test", in_pixels=True, seed=0)


def turned_copy(image: AnnotatedImage, index: int) -> AnnotatedImage:
    """The same cells, flipped and turned, dimmer, with fresh noise."""
    draw = np.random.default_rng(1000 + index)
    pixels = 100 + 0.6 * (np.rot90(image.image[:, ::-1]).astype(float) - 100)
    noisy = np.round(pixels + 2 * draw.standard_normal(pixels.shape))
    return replace(
        image,
        image=noisy.astype(np.uint16),
        labels=np.rot90(image.labels[:, ::-1]).copy(),
        name=f"copy{index}",
    )


def test_turned_dimmed_and_noisy_copies_are_found() -> None:
    training = scenes(0, 3)
    synthetic = [*(turned_copy(image, i) for i, image in enumerate(training)), *scenes(200, 3)]
    result, distances, _ = memorisation_check(measured(scenes(100, 5)), measured(synthetic), measured(training))
    assert result.verdict == "missed"
    assert 0.4 < result.fraction_closer < 0.6
    assert np.median(distances[-20:]) < 0.5 * np.median(distances[:20])


def test_fresh_cells_are_not_called_copies() -> None:
    result, _, _ = memorisation_check(measured(scenes(100, 5)), measured(scenes(200, 5)), measured(scenes(0, 3)))
    assert result.verdict == "met"
    assert result.copies == 0
    assert result.null == "real to training"


def test_the_closest_pair_names_the_copied_cell() -> None:
    real = scenes(0, 3)
    evaluation = evaluate(real, [turned_copy(real[1], 1)], features="none")
    assert {pair.real_image for pair in evaluation.memorisation.closest} == {"001"}


def test_one_cell_in_many_frames_is_not_compared_with_itself() -> None:
    """In a video the same cells return; they must not make a copy look normal."""
    frames = [
        replace(scenes(0, 1)[0], image=image.image, name=f"{i:03d}") for i, image in enumerate([scenes(0, 1)[0]] * 4)
    ]
    video = measured([*frames])
    assert tracks(video.images)[1]
    result, _, normal = memorisation_check(video, measured(scenes(200, 3)), None)
    assert result.video
    assert len(normal) == 0 or normal.min() > 0.2


def test_unrelated_images_are_no_video() -> None:
    assert not tracks(measured(scenes(0, 1) + scenes(40, 1, radius=4.0)).images)[1]


def test_specks_are_left_out() -> None:
    """A dot looks like every other dot; that is no memorisation."""
    real, synthetic = scenes(0, 3), scenes(100, 3)
    for image in (*real, *synthetic):
        for place in ((2, 60), (60, 2), (120, 64)):
            area = np.s_[place[0] : place[0] + 4, place[1] : place[1] + 4]
            image.labels[area] = image.labels.max() + 1
            image.image[area] = 180
    result, distances, _ = memorisation_check(measured(real), measured(synthetic), None)
    assert len(distances) == sum(len(np.unique(image.labels)) - 1 - 3 for image in synthetic)
    assert result.copies == 0
