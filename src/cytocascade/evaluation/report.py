"""The report of an evaluation: report.json and one page that needs nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation.compare import Pictures
from cytocascade.evaluation.results import Evaluation
from cytocascade.evaluation.volumes.compare import VolumePictures
from cytocascade.evaluation.volumes.results import VolumeEvaluation
from cytocascade.storage import write_json, write_text


def write_report(evaluation: Evaluation | VolumeEvaluation, pictures: Pictures | VolumePictures, out: Path) -> None:
    """Write ``report.json`` and a self-contained ``index.html`` to the folder `out`.

    Parameters
    ----------
    evaluation, pictures
        From `evaluate_with_pictures` or `evaluate_volumes_with_pictures`.
    out : path
        Folder; made if need be. Existing reports in it are replaced.

    Raises
    ------
    CytoCascadeError
        If matplotlib is missing, or `out` is a file.
    """
    require_matplotlib()
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise CytoCascadeError("The report needs a folder, this is a file.", path=out, hint="Choose another name.")
    write_text(out / "index.html", _page(evaluation, pictures))
    write_json(out / "report.json", evaluation.model_dump(mode="json"))


def _page(evaluation: Evaluation | VolumeEvaluation, pictures: Pictures | VolumePictures) -> str:
    from cytocascade.evaluation import page
    from cytocascade.evaluation.volumes import page as volume_page

    if isinstance(evaluation, Evaluation) and isinstance(pictures, Pictures):
        return page.page(evaluation, pictures)
    if isinstance(evaluation, VolumeEvaluation) and isinstance(pictures, VolumePictures):
        return volume_page.page(evaluation, pictures)
    raise TypeError("figures and pictures are of one evaluation, of images or of volumes")


def require_matplotlib() -> None:
    """Raise a `CytoCascadeError` that says what to install if matplotlib is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise CytoCascadeError("The report's charts need matplotlib.", hint="pip install 'cytocascade[evaluate]'")
