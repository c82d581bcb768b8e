from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from cytocascade.evaluation import VolumeEvaluation, VolumePictures, write_report

Result = tuple[VolumeEvaluation, VolumePictures]


@pytest.fixture(scope="module")
def written(different: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
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
    assert len(pictures) > 15
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            image.load()
            assert min(image.size) > 40
            assert image.convert("L").getextrema()[1] > image.convert("L").getextrema()[0]


def test_the_page_shows_planes_of_both_sets_side_by_side(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    planes = page[page.index('id="planes"') : page.index('id="cells"')]
    kinds = re.findall(r'<figure class="(real|synthetic)">', planes)
    assert kinds == ["real", "synthetic"] * 4


def test_the_page_shows_every_row_of_the_summary(written: Path, different: Result) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    assert "✗ missed" in page
    for row in different[0].summary:
        assert row.name.replace("'", "&#x27;") in page


def test_the_json_is_the_evaluation(written: Path, different: Result) -> None:
    stored = json.loads((written / "report.json").read_text(encoding="utf-8"))
    assert stored["dim"] == 3
    assert VolumeEvaluation.model_validate(stored) == different[0]


def test_figures_of_volumes_and_pictures_of_images_do_not_mix(different: Result, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_report(different[0], None, tmp_path)  # type: ignore[arg-type]
