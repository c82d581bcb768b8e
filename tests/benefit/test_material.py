"""The images that are added to the real ones."""

from dataclasses import replace

import numpy as np
import pytest

from cytocascade.benefit.material import Maker, image_files, kept_images, make_and_keep, wanted_images
from cytocascade.benefit.selection import best_learned, write_agreement
from cytocascade.errors import CytoCascadeError
from cytocascade.generation import draw_sample


@pytest.fixture(scope="module")
def maker(drawn_images, nuclei, tmp_path_factory) -> Maker:
    folder = nuclei.save(tmp_path_factory.mktemp("bundle") / "cascade")
    return Maker(drawn_images, folder, seed=4)


@pytest.mark.parametrize(
    ("amount", "budget", "most", "count"), [(1.0, 4, 99, 4), (0.1, 4, 99, 1), (25, 2, 99, 50), (25, 4, 60, 60)]
)
def test_the_amount_is_a_multiple_of_the_real_images(amount, budget, most, count):
    assert wanted_images(amount, budget, most) == count


@pytest.mark.parametrize("source", ["copypaste", "synthetic"])
def test_an_image_depends_on_its_number_alone(maker, drawn_images, source):
    again = Maker(maker.budget, maker.bundle_folder, maker.seed)
    third = again.make(source, 3)
    assert np.array_equal(third.image, maker.make(source, 3).image)
    assert not np.array_equal(third.image, maker.make(source, 1).image)
    assert third.image.shape == drawn_images[1].image.shape


def test_simulator_and_cascade_fill_the_same_fields(maker, monkeypatch):
    varied = replace(maker, variety=1.0)
    assert varied.simulator is not None  # its calibration draws fields of its own
    drawn = {}
    for source, module in (("simulator", "benefit.simulator"), ("synthetic", "cascade")):

        def draw(*given, source=source):
            drawn[source] = draw_sample(*given)
            raise KeyError

        monkeypatch.setattr(f"cytocascade.{module}.draw_sample", draw)
        with pytest.raises(KeyError):
            varied.make(source, 2)
    assert drawn["simulator"] == drawn["synthetic"]


def test_kept_images_are_those_that_were_made_and_are_not_made_again(maker, tmp_path):
    for number in range(2):
        make_and_keep(maker, "copypaste", number, tmp_path / "copypaste")
    before = image_files(tmp_path / "copypaste", 0)[0].stat().st_mtime_ns
    make_and_keep(maker, "copypaste", 0, tmp_path / "copypaste")
    assert image_files(tmp_path / "copypaste", 0)[0].stat().st_mtime_ns == before
    kept = kept_images(tmp_path / "copypaste", 2, maker.budget[0])
    made = maker.make("copypaste", 1)
    assert np.array_equal(kept[1].image, made.image)
    assert np.array_equal(kept[1].labels, made.labels)
    assert kept[1].image.dtype == maker.budget[0].image.dtype
    assert kept[1].spacing == maker.budget[0].spacing


class Blind:
    """Finds the labels of bright images only."""

    def __init__(self, images) -> None:
        self.known = {image.image.tobytes(): image.labels for image in images}

    def segment(self, image, spacing=None):
        return self.known.get(image.tobytes(), np.zeros(image.shape, np.uint16))

    def save(self, folder) -> None:
        raise NotImplementedError


def test_the_images_that_a_segmenter_agrees_with_are_kept(drawn_images, tmp_path):
    images = [drawn_images[0], drawn_images[1]]
    assert write_agreement(images, Blind(images[1:]), tmp_path) == [0.0, 1.0]
    assert best_learned(images, tmp_path, 0.5) == [images[1]]
    assert best_learned(images, tmp_path, 1.0) == images


def test_images_that_were_not_ranked_are_not_chosen_from(drawn_images, tmp_path):
    with pytest.raises(CytoCascadeError, match="not ranked"):
        best_learned(drawn_images, tmp_path, 0.5)
