"""A made-up experiment: labels perturbed more or less, in place of what segmenters would find."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from cytocascade.benefit.drawings import ReportPictures, TestPicture
from cytocascade.benefit.results import (
    BaseUsed,
    Benefit,
    CurvePoint,
    Experiment,
    ImageResult,
    Run,
    SegmenterUsed,
    Window,
)
from cytocascade.evaluation.instances import instance_scores
from cytocascade.types import AnnotatedImage, Array

MISTAKES = {
    "real": 0.30,
    "real+copypaste": 0.24,
    "real+simulator": 0.22,
    "real+synthetic": 0.15,
    "synthetic": 0.27,
    "all-real": 0.09,
}


ARMS = tuple(MISTAKES)


def field(index: int, *, side: int = 96, step: int = 24, planes: int = 0, seed: int = 0) -> AnnotatedImage:
    """One image (or volume of `planes`) of blurred ellipses on a jittered grid; some touch."""
    draw = np.random.default_rng([seed, index])
    grid = np.mgrid[: max(planes, 1), :side, :side].astype(np.float32)
    labels = np.zeros(grid.shape[1:], dtype=np.uint16)
    for row in range(step // 2, side, step):
        for column in range(step // 2, side, step):
            if draw.random() < 0.15:
                continue
            middle = planes / 2 + draw.uniform(-2, 2) if planes else 0.0
            y, x = row + draw.uniform(-0.2, 0.2) * step, column + draw.uniform(-0.2, 0.2) * step
            long, short = step * draw.uniform(0.35, 0.52), step * draw.uniform(0.28, 0.38)
            turn = draw.uniform(0, np.pi)
            a = np.cos(turn) * (grid[1] - y) + np.sin(turn) * (grid[2] - x)
            b = np.cos(turn) * (grid[2] - x) - np.sin(turn) * (grid[1] - y)
            inside = (a / long) ** 2 + (b / short) ** 2 + ((grid[0] - middle) / max(2.0, planes / 3)) ** 2 <= 1
            labels[inside & (labels == 0)] = labels.max() + 1
    light = np.concatenate([[0.0], draw.uniform(60, 140, labels.max())])[labels]
    texture = ndi.gaussian_filter(draw.standard_normal(labels.shape), 1.5)
    soft = ndi.gaussian_filter(light * (1 + 0.8 * texture), (0, 1.2, 1.2))
    image = np.clip(100 + soft + 4 * draw.standard_normal(labels.shape), 0, 65535).astype(np.uint16)
    if not planes:
        image, labels = image[0], labels[0]
    return AnnotatedImage(image=image, labels=labels, spacing=(0.5,) * labels.ndim, name=f"frame {index:03d}")


def found(reference: Array, mistakes: float, *key: int) -> Array:
    """Labels as a segmenter with this share of mistakes might find them."""
    draw = np.random.default_rng(key)
    wrong = float(np.clip(mistakes * draw.uniform(0.5, 1.5), 0, 1))
    shown = reference.reshape((1,) * (3 - reference.ndim) + reference.shape)
    labels = np.zeros_like(shown)
    cells = [int(label) for label in np.unique(shown)[1:]]
    for label in cells:
        mask = shown == label
        if draw.random() < 0.5 * wrong:
            continue  # missed
        if draw.random() < 0.7 * wrong and label > 1:
            labels[mask | ((ndi.binary_dilation(mask, iterations=2)) & (shown == 0))] = label - 1  # joined
            continue
        change = round(draw.normal(0, 6 * wrong))
        if change:
            plane = ndi.generate_binary_structure(2, 1)[None]
            grow = ndi.binary_dilation if change > 0 else ndi.binary_erosion
            mask = grow(mask, structure=plane, iterations=abs(change))
        labels[mask & (labels == 0)] = label
    if draw.random() < 2 * wrong:
        y, x = (int(draw.integers(4, side - 12)) for side in shown.shape[1:])
        patch = labels[:, y : y + 8, x : x + 9]
        patch[patch == 0] = shown.max() + 1  # invented
    return np.asarray(labels.reshape(reference.shape))


def experiment(names: list[str], *, dim: int = 2, seeds: int = 2, arms: tuple[str, ...] = ARMS) -> Experiment:
    """What would have been done."""
    return Experiment(
        dim=dim,
        data=["made-up-nuclei"],
        budget="20cells",
        training_images=["train 000"],
        window=Window(name="train 000", start=[0] * dim, stop=[96] * dim),
        all_training_images=[f"train {index:03d}" for index in range(24)],
        validation_images=["val 000", "val 001"],
        test_images=names,
        scored_on="test",
        arms=list(arms),
        seeds=list(range(seeds)),
        segmenter=SegmenterUsed(
            name="cellpose", version="3.1.1.3", options={"diameter": 17.0, "batch_size": 8, "crop": 112}
        ),
        steps=300,
        real_share=0.5,
        amounts={"real+copypaste": 24, "real+simulator": 24, "real+synthetic": 24, "synthetic": 24},
        base=BaseUsed(name="nuclei", hash="9f2c1e07ab55", seen="DSB 2018 and BBBC006; no image of this data set."),
        settings={"fit_steps": 400},
        version="0.4.0",
        machine="2 cores, x86_64, no GPU",
        date="2025-11-25",
    )


def curve(arm: str, seed: int, steps: int = 300) -> list[CurvePoint]:
    """Falling loss and rising score."""
    draw = np.random.default_rng([ARMS.index(arm), seed])
    top = 0.95 - 0.8 * MISTAKES[arm]
    return [
        CurvePoint(
            step=step,
            loss=float(0.3 + 1.2 * np.exp(-step / 60) + 0.02 * draw.standard_normal()),
            validation=float(top * (1 - np.exp(-step / 70)) + 0.01 * draw.standard_normal())
            if step % 50 == 0
            else None,
        )
        for step in range(10, steps + 1, 10)
    ]


def run(arm: str, seed: int, images: list[AnnotatedImage]) -> Run:
    """One made-up run; the mistakes depend on the arm, the seed and the image."""
    return Run(
        arm=arm,
        seed=seed,
        steps=300,
        seconds_training=311.0,
        seconds_testing=42.0,
        training_images=24 if arm in ("synthetic", "all-real") else (1 if arm == "real" else 25),
        training_cells=20 if arm == "real" else 480,
        curve=curve(arm, seed),
        images=[
            ImageResult(name=one.name, scores=instance_scores(one.labels, predicted(arm, seed, index, one)))
            for index, one in enumerate(images)
        ],
    )


def predicted(arm: str, seed: int, index: int, image: AnnotatedImage) -> Array:
    """What the run finds in an image; the same image is hard for all arms."""
    hard = np.random.default_rng(index).uniform(0.6, 1.4)
    return found(image.labels, MISTAKES[arm] * hard, ARMS.index(arm), seed, index)


def benefit(
    *, images: int = 5, seeds: int = 2, arms: tuple[str, ...] = ARMS, planes: int = 0, side: int = 96, step: int = 24
) -> tuple[Benefit, ReportPictures]:
    """A whole experiment and its pictures."""
    fields = [field(index, side=side, step=step, planes=planes) for index in range(images)]
    names = [one.name for one in fields]
    done = experiment(names, dim=3 if planes else 2, seeds=seeds, arms=arms)
    result = Benefit.of(done, [run(arm, seed, fields) for arm in arms for seed in range(seeds)])
    shown = {names.index(name): kind for name, kind in result.telling_images().items()}
    return result, ReportPictures(
        training={
            arm: [field(index, side=side, step=step, planes=planes, seed=1 + place) for index in range(2)]
            for place, arm in enumerate(arms)
        },
        tests=[
            TestPicture(fields[index], {arm: predicted(arm, 0, index, fields[index]) for arm in arms}, kind)
            for index, kind in shown.items()
        ],
    )
