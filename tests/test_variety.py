"""Images that reach beyond the few that a cascade was fitted on."""

from dataclasses import replace

import numpy as np
import pytest
from _phase import as_phase
from scipy import ndimage as ndi

from cytocascade.composition import clean_field, compose_field
from cytocascade.generation import draw_sample
from cytocascade.generation_options import GenerationOptions
from cytocascade.imaging.exposure import MOST_SATURATED
from cytocascade.population import PopulationOverrides
from cytocascade.population.cells import CellStatistics
from cytocascade.preparation import prepare_field
from cytocascade.variety import (
    DENSEST,
    LARGEST,
    LARGEST_ISLAND,
    LEAST_PRESSED_PHASE,
    MORE_SPOTTED,
    MOST_HIDDEN_PHASE,
    MOST_PRESSED_PHASE,
    SMALLEST,
    SMALLEST_ISLAND,
    SPARSEST,
    ImageVariety,
)


def counts(nuclei, variety: float, n: int = 24) -> np.ndarray:
    options = GenerationOptions(size=(256, 256), variety=variety)
    return np.array([draw_sample(nuclei.bundle, options, 0, index)["placement"]["count"] for index in range(n)])


def test_without_variety_nothing_differs():
    assert ImageVariety.drawn(0.0, 3, 1) == ImageVariety()
    assert ImageVariety().on(PopulationOverrides()) == PopulationOverrides()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_few_images_cover_all_that_is_wished(seed):
    drawn = [ImageVariety.drawn(1.0, seed, index) for index in range(16)]
    places = np.log([one.density / SPARSEST for one in drawn]) / np.log(DENSEST / SPARSEST)
    assert sorted((16 * places).astype(int)) == list(range(16))
    assert sorted((16 * (1 - np.array([one.alike for one in drawn]))).astype(int)) == list(range(16))
    sizes = np.log([one.cell_size / SMALLEST for one in drawn]) / np.log(LARGEST / SMALLEST)
    assert sorted((16 * sizes).astype(int)) == list(range(16))


def test_every_image_is_drawn_alone_and_by_its_seed():
    late = ImageVariety.drawn(1.0, 0, 123_456_789)
    assert late == ImageVariety.drawn(1.0, 0, 123_456_789)
    assert late != ImageVariety.drawn(1.0, 1, 123_456_789)
    assert ImageVariety.drawn(1.0, 0, 2**30 + 5) == ImageVariety.drawn(1.0, 0, 5)


def test_densities_stay_within_the_limits_and_use_them():
    factors = [ImageVariety.drawn(1.0, 0, index).density for index in range(200)]
    assert SPARSEST <= min(factors) < 0.6
    assert 2.5 < max(factors) <= DENSEST


def test_light_varies_around_that_of_the_real_cells():
    gains = np.log([ImageVariety.drawn(1.0, 0, index).gain for index in range(400)])
    assert abs(gains.mean()) < 0.1
    assert 0.35 < gains.std() < 0.65


def test_neighbours_are_alike_by_anything_up_to_what_was_measured():
    factors = [ImageVariety.drawn(0.8, 0, index).alike for index in range(200)]
    assert 0.2 - 1e-6 < min(factors) < 0.25
    assert 0.95 < max(factors) <= 1.0
    assert ImageVariety().alike == 1.0


def test_dark_spots_are_the_more_common_the_more_variety(nuclei):
    spotted = []
    for variety in (0.0, 0.5, 1.0):
        options = GenerationOptions(size=(2000, 2000), cells=2000, variety=variety)
        spotted.append(len({spot[0] for spot in draw_sample(nuclei.bundle, options, 0, 0)["spots"]}) / 2000)
    usual, some, many = spotted
    assert some - usual == pytest.approx(MORE_SPOTTED / 2, abs=0.01)
    assert many - usual == pytest.approx(MORE_SPOTTED, abs=0.015)


def test_more_variety_gives_more_different_counts(nuclei):
    plain, varied = counts(nuclei, 0.0), counts(nuclei, 1.0)
    assert np.log(varied).std() > np.log(plain).std()
    assert varied.max() > 1.5 * plain.mean()


def test_explicit_wishes_stay():
    wishes = PopulationOverrides(count=7, touching_rate=0.1)
    varied = ImageVariety(density=2.0, touching=0.6).on(wishes)
    assert varied.count == 7
    assert varied.touching_rate == 0.1


def test_cells_in_phase_contrast_meet_along_short_stretches():
    drawn = [ImageVariety.drawn(1.0, 0, index) for index in range(100)]
    wishes = [one.on(PopulationOverrides(), "phase") for one in drawn]
    assert {one.max_overlap for one in wishes} == {MOST_HIDDEN_PHASE}
    rates = [one.overlap_rate for one in wishes]
    assert LEAST_PRESSED_PHASE <= min(rates) < 0.55
    assert 0.95 < max(rates) <= MOST_PRESSED_PHASE
    assert drawn[0].on(PopulationOverrides(max_overlap=0.2), "phase").max_overlap == 0.2
    assert drawn[0].on(PopulationOverrides(overlap_rate=0.1), "phase").overlap_rate == 0.1
    nuclei = drawn[0].on(PopulationOverrides())
    assert nuclei.max_overlap == PopulationOverrides().max_overlap
    assert nuclei.overlap_rate == drawn[0].overlap


def test_cells_in_phase_contrast_form_islands_of_all_sizes():
    drawn = [ImageVariety.drawn(1.0, 0, index) for index in range(64)]
    sizes = [one.on(PopulationOverrides(), "phase").island_size for one in drawn]
    assert SMALLEST_ISLAND <= min(sizes) < 1.1 * SMALLEST_ISLAND
    assert 0.9 * LARGEST_ISLAND < max(sizes) <= LARGEST_ISLAND
    assert {one.on(PopulationOverrides()).island_size for one in drawn} == {None}
    # Those that touch none have others close by, from none of them to all.
    wishes = [one.on(PopulationOverrides(), "phase") for one in drawn]
    near = [(wish.p_cluster - wish.touching_rate) / (1 - wish.touching_rate) for wish in wishes]
    assert min(near) < 0.1
    assert max(near) > 0.9
    assert drawn[0].on(PopulationOverrides(touching_rate=0.1), "phase").island_size is None


def test_cells_reach_beyond_the_real_ones_but_not_far():
    rows = np.random.default_rng(0).normal(size=(20, 3))
    statistics = CellStatistics.fit(("log_area", "b", "c"), rows)
    draw = lambda reach: statistics.draw(5000, np.random.default_rng(1), reach=reach)  # noqa: E731
    plain, wide = draw(0.0), draw(1.0)
    assert np.all(plain.max(axis=0) <= rows.max(axis=0) + 1e-3)
    assert np.all(wide.std(axis=0) > 1.05 * plain.std(axis=0))
    assert np.all(wide.max(axis=0) <= rows.max(axis=0) + rows.std(axis=0))


def test_a_sample_with_variety_can_be_drawn_alone_and_again(nuclei):
    options = GenerationOptions(size=(96, 96), variety=0.7)
    assert draw_sample(nuclei.bundle, options, 5, 3) == draw_sample(nuclei.bundle, options, 5, 3)
    assert draw_sample(nuclei.bundle, options, 5, 3) != draw_sample(nuclei.bundle, options, 5, 4)


def test_few_cells_borrow_the_tails_of_a_base_and_many_do_not():
    generator = np.random.default_rng(0)
    names = ("log_area", "b", "c")
    base = CellStatistics.fit(names, np.vstack([generator.normal(size=(300, 3)), [[7.0, 0.0, 0.0]] * 30]))
    huge = {}
    for count in (17, 2000):
        statistics = CellStatistics.fit(names, generator.normal(size=(count, 3)) * 0.5, base=base)
        drawn = statistics.draw(4000, np.random.default_rng(1), reach=0.5)
        huge[count] = float((drawn[:, 0] > 4).mean())
        assert np.array_equal(
            statistics.draw(50, np.random.default_rng(1)),
            statistics.model_copy(update={"prior": []}).draw(50, np.random.default_rng(1)),
        )
    assert 0.01 < huge[17] < 0.03
    assert huge[2000] < 0.002


def test_the_prior_has_the_median_of_the_real_cells():
    base = CellStatistics.fit(("log_area",), np.array([[1.0], [7.0], [9.0]]))
    statistics = CellStatistics.fit(("log_area",), np.array([[0.0], [2.0]]), base=base)
    assert np.median(statistics.prior) == 1.0


def test_light_varies_from_image_to_image_in_fluorescence_only(nuclei):
    phase = as_phase(nuclei.bundle)

    def factor(bundle, index: int) -> float:
        plain, varied = (
            draw_sample(bundle, GenerationOptions(size=(96, 96), variety=variety), 0, index)["background"]["gain"]
            for variety in (0.0, 1.0)
        )
        return varied / plain

    assert all(factor(nuclei.bundle, index) != 1 for index in range(4))
    assert all(factor(phase, index) == 1 for index in range(4))


def test_bright_images_do_not_saturate(nuclei):
    bundle = nuclei.bundle
    drawn = draw_sample(bundle, GenerationOptions(size=(96, 96)), 0, 0)
    gain = float(np.median([record.gain for record in bundle.imaging.records]))
    top = round(drawn["background"]["level"] + 3 * gain)
    output = bundle.imaging.output.model_copy(update={"high": top})
    narrow = replace(bundle, imaging=bundle.imaging.model_copy(update={"output": output}))
    bright = {**drawn, "background": {**drawn["background"], "gain": 4 * gain}}
    prepared = prepare_field(narrow, bright)
    now, before = (
        (compose_field(narrow, params, prepared)[0][prepared.labels > 0] == top).mean()
        for params in (bright, {**bright, "exposed": False})
    )
    assert now < 3 * MOST_SATURATED
    assert before > 10 * MOST_SATURATED


def test_neighbours_are_about_as_bright_as_each_other(nuclei):
    params = draw_sample(nuclei.bundle, GenerationOptions(size=(256, 256), mask_steps=4, texture_steps=2), 0, 0)
    now, alone = (
        prepare_field(nuclei.bundle, those)
        for those in (params, {name: value for name, value in params.items() if name != "neighbours_alike"})
    )
    assert np.array_equal(now.labels, alone.labels)
    # Mean squared difference of touching cells, relative to that of any two cells.
    unlike = []
    for field in (now, alone):
        light = {place.index: field.brightness[place.index] for place in field.placed}
        values = np.array(list(light.values()))
        pairs = [(one, other) for one in field.placed for other in field.placed if one.index < other.index]
        near = [
            (one.index, other.index) for one, other in pairs if np.hypot(*np.subtract(one.corner, other.corner)) < 30
        ]
        unlike.append(np.mean([(light[one] - light[other]) ** 2 for one, other in near]) / (2 * values.var()))
    assert unlike[0] < 0.75 * unlike[1]


def test_cells_that_do_not_touch_may_be_close():
    varied = [ImageVariety.drawn(1.0, 0, index).on(PopulationOverrides()) for index in range(100)]
    near = [(wish.p_cluster - wish.touching_rate) / (1 - wish.touching_rate) for wish in varied]
    assert 0.15 < np.mean(near) < 0.35
    assert max(near) <= 0.5 + 1e-3


def test_whole_images_are_larger_or_smaller_in_phase_contrast_only(nuclei):
    phase = as_phase(nuclei.bundle)

    def sizes(bundle, variety: float) -> list[float | None]:
        options = GenerationOptions(size=(96, 96), variety=variety)
        return [draw_sample(bundle, options, 0, index).get("cell_size") for index in range(8)]

    assert set(sizes(nuclei.bundle, 1.0)) == set(sizes(phase, 0.0)) == {None}
    assert min(sizes(phase, 1.0)) < 0.7
    assert 1.4 < max(sizes(phase, 1.0)) <= LARGEST
    assert min(sizes(phase, 0.1)) > 0.94


def test_smaller_cells_are_the_same_with_fewer_pixels_and_more_contrast_and_halos_stay_as_wide(nuclei):
    bundle = as_phase(nuclei.bundle, halo=3.0)
    options = GenerationOptions(size=(160, 160), cells=6, mask_steps=4, texture_steps=2)
    params = draw_sample(bundle, options, 0, 0)
    both = (params, {**params, "cell_size": 0.6})
    whole, small = (prepare_field(bundle, those) for those in both)
    np.testing.assert_array_equal(whole.signal, small.signal)
    ratio = [b.mask.sum() / a.mask.sum() for a, b in zip(whole.cells, small.cells)]
    assert np.median(ratio) == pytest.approx(0.36, abs=0.02)
    widths, contrasts = [], []
    for those, field in zip(both, (whole, small)):
        light = clean_field(bundle, those, field).light
        free = field.labels == 0
        widths.append((np.abs(light[free]) > 1).sum() / (ndi.binary_dilation(~free) & free).sum())
        contrasts.append(light[~free].std())
    assert widths[1] == pytest.approx(widths[0], rel=0.15)
    assert contrasts[1] / contrasts[0] == pytest.approx(1 / 0.6, rel=0.15)


def test_the_smaller_the_cells_the_more_of_them_an_image_shows(nuclei, monkeypatch):
    phase = as_phase(nuclei.bundle)
    options = GenerationOptions(size=(400, 400), variety=1.0)
    varied = [draw_sample(phase, options, 0, index) for index in range(32)]
    monkeypatch.setattr("cytocascade.variety.SMALLEST", 1.0)
    monkeypatch.setattr("cytocascade.variety.LARGEST", 1.0)
    plain = [draw_sample(phase, options, 0, index) for index in range(32)]
    size = np.log([params["cell_size"] for params in varied])
    more = np.log([a["placement"]["count"] / b["placement"]["count"] for a, b in zip(varied, plain)])
    assert np.polyfit(size, more, 1)[0] == pytest.approx(-2.0, abs=0.3)
