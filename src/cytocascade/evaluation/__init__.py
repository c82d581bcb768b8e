"""Evidence: figures and a report on how a synthetic data set compares with a real one."""

from cytocascade.evaluation.compare import (
    Pictures,
    evaluate,
    evaluate_folders,
    evaluate_with_pictures,
)
from cytocascade.evaluation.report import write_report
from cytocascade.evaluation.results import Evaluation

__all__ = [
    "Evaluation",
    "Pictures",
    "evaluate",
    "evaluate_folders",
    "evaluate_with_pictures",
    "write_report",
]
