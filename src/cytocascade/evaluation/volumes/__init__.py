"""Evidence for volumes: how synthetic stacks compare with real ones."""

from cytocascade.evaluation.volumes.compare import (
    VolumePictures,
    evaluate_volumes,
    evaluate_volumes_with_pictures,
)
from cytocascade.evaluation.volumes.results import VolumeEvaluation

__all__ = ["VolumeEvaluation", "VolumePictures", "evaluate_volumes", "evaluate_volumes_with_pictures"]
