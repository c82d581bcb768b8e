"""Evidence: figures and a report on how a synthetic data set compares with a real one."""

from cytocascade.evaluation.compare import Pictures, evaluate, evaluate_with_pictures
from cytocascade.evaluation.folders import evaluate_folders
from cytocascade.evaluation.report import write_report
from cytocascade.evaluation.results import Evaluation
from cytocascade.evaluation.volumes import (
    VolumeEvaluation,
    VolumePictures,
    evaluate_volumes,
    evaluate_volumes_with_pictures,
)

__all__ = [
    "Evaluation",
    "Pictures",
    "VolumeEvaluation",
    "VolumePictures",
    "evaluate",
    "evaluate_folders",
    "evaluate_volumes",
    "evaluate_volumes_with_pictures",
    "evaluate_with_pictures",
    "write_report",
]
