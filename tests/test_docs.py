"""The documents say what is true: snippets run, commands parse, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import tifffile
import typer.main

from cytocascade.calibration import fields
from cytocascade.cascade import Cascade
from cytocascade.cli import app
from cytocascade.export import FORMATS
from cytocascade.generation_options import GenerationOptions
from cytocascade.types import AnnotatedImage
from cytocascade.volumes.shape_files import FORMATS as SHAPE_FORMATS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
COMMANDS = [
    pytest.param(line.strip(), id=f"{document.name}: {line.strip()}"[:90])
    for document in DOCUMENTS
    for block in re.findall(r"```bash\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
    if line.strip().startswith("cytocascade ")
]


def snippets(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)


def shrunk(code: str, smaller: dict[str, str]) -> str:
    """Replace what would take long; everything that is to be replaced must be there."""
    for before, after in smaller.items():
        assert before in code, f"{before!r} is no longer in the snippet"
        code = code.replace(before, after)
    return code


def test_the_first_snippet_of_the_readme_runs(nuclei: Cascade, capsys: pytest.CaptureFixture[str]) -> None:
    code = shrunk(snippets("README.md")[0], {"(256, 256)": "(64, 64)"})
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("(64, 64) uint16 ") and line.endswith(" cells") for line in lines)


def test_the_walk_through_of_the_readme_runs(
    nuclei: Cascade, drawn_images: list[AnnotatedImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, image in enumerate(drawn_images):
        for kind, pixels in (("images", image.image), ("masks", image.labels)):
            (tmp_path / "my" / kind).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(tmp_path / "my" / kind / f"{number}.tif", pixels)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fields, "WANTED_CELLS", 1)
    smaller = {
        "budget=600": "steps=2, batch=4",
        "write(20,": "write(1,",
        "seed=1": "seed=1, options=small",
        "#3": "#0",
    }
    code = shrunk(snippets("README.md")[1], smaller)
    names: dict[str, object] = {"small": GenerationOptions(size=(64, 64), cells=2)}
    exec(compile(code, "README.md", "exec"), names)
    assert (tmp_path / "my-bundle" / "bundle.json").exists()
    assert (tmp_path / "synthetic" / "coco" / "annotations.json").exists()
    assert names["sample"].image.shape == (64, 64)  # type: ignore[attr-defined]


def test_the_snippet_on_volumes_runs(capsys: pytest.CaptureFixture[str]) -> None:
    code = shrunk(snippets("docs/volumes.md")[0], {"(28, 160, 160), cells=4": "(14, 64, 64), cells=1, texture_steps=2"})
    exec(compile(code, "volumes.md", "exec"), {})
    assert capsys.readouterr().out.startswith("(14, 64, 64) uint8 1 cells")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_documented_command_has_the_options_it_is_shown_with(command: str) -> None:
    words = shlex.split(command, comments=True)
    group = typer.main.get_command(app)
    chosen = group.commands[words[1]]  # type: ignore[attr-defined]
    context = chosen.make_context(words[1], words[2:])
    known = SHAPE_FORMATS if words[1] == "shapes" else FORMATS
    for name in str(context.params.get("format") or "").split(","):
        assert not name or name in known


def test_enough_commands_are_documented_to_be_worth_checking() -> None:
    assert {param.values[0].split()[1] for param in COMMANDS} >= {"fit", "generate", "evaluate", "replay"}


def test_every_option_in_the_tables_of_the_guide_exists() -> None:
    group = typer.main.get_command(app)
    known = {
        option
        for command in group.commands.values()  # type: ignore[attr-defined]
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    cells = re.findall(r"^\| (`--.*?) \|", (ROOT / "docs" / "guide.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = {option for cell in cells for option in re.findall(r"--[a-z-]+", cell)}
    assert len(named) > 10
    assert named <= known


def test_every_format_stands_in_the_table_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text[text.index("## Formats") : text.index("## Limits")]
    assert all(f"| `{name}` |" in table for name in FORMATS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (document.parent / target).exists(), target
    for name in re.findall(r"`(benchmarks/[\w.]+\.py)`", text):
        assert (ROOT / name).exists(), name


def test_the_house_in_the_architecture_names_every_folder() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (ROOT / "src" / "cytocascade").glob("*/__init__.py")}
    files = {path.name for path in (ROOT / "src" / "cytocascade").glob("*.py")} - {"__init__.py"}
    assert {name for name in folders if f"`{name}/`" not in text} == set()
    assert {name for name in files if f"`{name}`" not in text} == set()


def test_every_make_target_that_is_mentioned_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for document in DOCUMENTS:
        mentioned = re.findall(r"(?:`|^)make ([a-z-]+)", document.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(mentioned) <= targets, document.name
