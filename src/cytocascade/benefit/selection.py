"""Which synthetic images are worth training on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.instances import instance_scores, summarise
from cytocascade.segmentation.base import Segmenter
from cytocascade.storage import write_json
from cytocascade.types import AnnotatedImage

AGREEMENT_FILE = "agreement.json"


def write_agreement(images: Sequence[AnnotatedImage], segmenter: Segmenter, folder: Path) -> list[float]:
    """Write how well a segmenter that was trained on real images alone finds the labels of synthetic ones.

    An image whose labels a real-trained segmenter cannot find may show cells that do not look like real ones, or labels
    that do not fit them. Its panoptic quality is the measure.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        Synthetic images in the order of their numbers.
    segmenter : Segmenter
        Trained on the real images of the budget.
    folder : Path
        Folder of the images.
    """
    agreement = [
        summarise([instance_scores(image.labels, segmenter.segment(image.image, image.spacing))])["PQ"]
        for image in images
    ]
    write_json(folder / AGREEMENT_FILE, agreement)
    return agreement


def best_learned(images: Sequence[AnnotatedImage], folder: Path, share: float) -> list[AnnotatedImage]:
    """Return the share of the images that agrees best with the segmenter of `write_agreement`, in their order."""
    if share >= 1:
        return list(images)
    try:
        agreement = json.loads((folder / AGREEMENT_FILE).read_bytes())[: len(images)]
    except (OSError, ValueError) as error:
        raise CytoCascadeError(
            "the synthetic images were not ranked", path=folder / AGREEMENT_FILE, hint="Remove --out and start anew."
        ) from error
    kept = max(1, round(share * len(images)))
    best = np.sort(np.argsort(-np.asarray(agreement), kind="stable")[:kept])
    return [images[int(i)] for i in best]
