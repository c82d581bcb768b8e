from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from cytocascade.errors import CytoCascadeError
from cytocascade.evaluation import Evaluation, Pictures, report, write_report

Result = tuple[Evaluation, Pictures]


@pytest.fixture(scope="module")
def written(different: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "deep" / "er"
    write_report(*different, out)
    return out


def test_the_page_needs_nothing_but_itself(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|<script|<link|@import|url\(", re.sub(r"base64,[^\"]*", "", page))
    assert len(page) < 8_000_000


def test_every_picture_is_a_readable_png(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == page.count("<img")
    assert len(pictures) > 20
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            image.load()
            assert min(image.size) > 40
            assert image.convert("L").getextrema()[1] > image.convert("L").getextrema()[0]


def test_the_page_shows_every_row_of_the_summary(written: Path, different: Result) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    assert "✗ missed" in page
    for row in different[0].summary:
        assert row.name.replace("'", "&#x27;") in page


def test_without_inception_no_figure_is_called_fid(written: Path) -> None:
    stored = json.loads((written / "report.json").read_text(encoding="utf-8"))
    assert not any("FID" in row["name"] for row in stored["summary"])


def test_the_json_is_the_evaluation_without_nan(written: Path, different: Result) -> None:
    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    stored = json.loads((written / "report.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert Evaluation.model_validate(stored) == different[0]


def test_the_same_figures_give_the_same_bytes(written: Path, different: Result, tmp_path: Path) -> None:
    write_report(*different, tmp_path)
    for name in ("index.html", "report.json"):
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_a_file_in_the_place_of_the_folder_is_named(different: Result, tmp_path: Path) -> None:
    place = tmp_path / "report"
    place.write_text("mine")
    with pytest.raises(CytoCascadeError, match="needs a folder") as caught:
        write_report(*different, place)
    assert caught.value.path == place
    assert place.read_text() == "mine"


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CytoCascadeError, match=r"pip install 'cytocascade\[evaluate\]'"):
        report.require_matplotlib()
