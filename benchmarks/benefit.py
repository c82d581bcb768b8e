"""Does it help? The main table: five sets of images and two of volumes, two budgets, five arms, three seeds.

    python benchmarks/benefit.py --data ../shared/data --work runs/benefit [--sets dsb2018-fluo-360] [--time 170m]

Runs `cytocascade benefit` for every set and budget, one after the other. What is there already is not made again, so it
can be interrupted, and spread over days. The figures of every set go to benchmarks/results/benefit/, and the counts of
every image of every run to its folder runs/: from there a fresh checkout goes on, as far as images, options and version
are the same. Segmenters are computed in bf16, which processors that lack it emulate (8 times as slow). The table of all
figures is put into docs/benefit.md and the README; `--table` does only that.

The shipped bases have never seen a test image: `nuclei` was trained on images 000-023 of bbbc039-u2os and 000-043 of
dsb2018-fluo-360 alone, which are the pool to learn from here; `phase` on six of the eight images of usiigaci-t98g-phase
that are learned from; `nuclei3d` on windows 000 and 001 of 3d-cultured-nuclei
(textures, masks) and on shapes of other stacks. See SEEN.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cytocascade.benefit.results import Benefit
from cytocascade.benefit.verdict import goal

RESULTS = Path(__file__).parent / "results" / "benefit"
RUNS = RESULTS / "runs"
ARMS = ("real", "real+copypaste", "real+simulator", "real+synthetic", "all-real")
PROJECT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Set:
    """How one data set is parted, and what the base has seen of it."""

    split: str
    fraction: str
    seen: str
    budgets: tuple[str, ...] = ("20cells", "1")
    dim: int = 2
    more: tuple[str | int, ...] = ()


SETS = {
    "bbbc039-u2os": Set(
        "ordered",
        "0.4",
        "Base nuclei: trained on images 000-023 of this set (the pool to learn from); tested on 024-039.",
    ),
    "dsb2018-fluo-360": Set(
        "ordered",
        "0.3334",
        "Base nuclei: trained on images 000-043 of this set (the pool to learn from); tested on 044-065.",
    ),
    "ctc-fluo-n2dl-hela": Set("ordered", "0.5", "Base nuclei: no image of this set; tested on the later frames."),
    "ctc-fluo-n2dh-gowt1": Set("ordered", "0.5", "Base nuclei: no image of this set; tested on the later frames."),
    # Whole cells in phase contrast are harder than nuclei: after 300 steps segmenters still get better.
    "usiigaci-t98g-phase": Set(
        "even",
        "0.5",
        "Base phase: fitted on images 000, 002, 006, 008, 010 and 014 of this set, part of the pool to learn from; "
        "tested on those of odd number.",
        more=("--steps", 600, "--fit-steps", 300, "--from", "phase"),
    ),
    "3d-cultured-nuclei": Set(
        "ordered",
        "0.5",
        "Base nuclei3d: fitted on slices of windows 000 and 001 (the pool to learn from); tested on windows 005-009.",
        budgets=("10cells", "1"),
        dim=3,
    ),
    "3d-organoid-nuclei": Set(
        "ordered",
        "0.5",
        "Base nuclei3d: no image of this set, but its shape prior saw the shapes of this organoid. "
        "The test volume is the same organoid in another staining round.",
        budgets=("1",),
        dim=3,
    ),
}
"""The two sets of volumes are small: 39 and 16 nuclei in all."""

SMALL = {
    2: ("--steps", 300, "--crop", 88, "--diameter", 24, "--amount", 20, "--fit-steps", 150, "--seeds", 3),
    3: (
        "--steps",
        300,
        "--crop",
        88,
        "--diameter",
        24,
        "--amount",
        8,
        "--fit-steps",
        100,
        "--seeds",
        3,
        "--slice-step",
        6,
    ),
}
"""The small configuration, by dimension."""


def command_for(name: str, budget: str, options: argparse.Namespace) -> list[Any]:
    """Return the command that runs one set with one budget in the small configuration."""
    about = SETS[name]
    command = [
        sys.executable, "-m", "cytocascade.cli", "benefit", "--images", options.data / name / "images",
        "--masks", options.data / name / "masks", "--out", options.work / f"{name}-{budget}", "--dim", about.dim,
        "--budget", budget, "--split", about.split, "--test-fraction", about.fraction, "--base-seen", about.seen,
        "--precision", "bf16", *SMALL[about.dim], *about.more,
    ]  # fmt: skip
    return [*command, "--workers", options.workers] if options.workers else command


def benefit(name: str, budget: str, options: argparse.Namespace) -> Path:
    """Run one set with one budget, or go on with it; return its folder."""
    command = [*command_for(name, budget, options), "--overwrite"]
    if options.arms:
        command += ["--arms", options.arms]
    if options.tune:
        command += ["--tune"]
    if options.time:
        command += ["--time", f"{max(1, round(options.ends - time.monotonic()))}s"]
    subprocess.run([str(part) for part in command], check=True)
    return options.work / f"{name}-{budget}"


def figures(out: Path) -> dict[str, object]:
    """Return what is kept of an experiment: everything but the counts of every image."""
    found = json.loads((out / "benefit.json").read_bytes())
    for run in found["runs"]:
        run["images"] = len(run["images"])
    return found


def record(out: Path) -> None:
    """Keep an experiment: its figures, and its runs with the counts of every image, one file per line."""
    RUNS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{out.name}.json").write_text(json.dumps(figures(out), indent=1, sort_keys=True) + "\n")
    files = [out / "experiment.json", *sorted((out / "runs").glob("*.json"))]
    lines = (
        json.dumps([str(file.relative_to(out)), json.loads(file.read_bytes())], sort_keys=True, separators=(",", ":"))
        for file in files
    )
    (RUNS / f"{out.name}.jsonl").write_text("".join(line + "\n" for line in lines))


def restore(out: Path, anew: list[str]) -> None:
    """Put recorded runs where `cytocascade benefit` finds them, but for those of the arms `anew`."""
    recorded = RUNS / f"{out.name}.jsonl"
    for line in recorded.read_text().splitlines() if recorded.exists() else ():
        name, content = json.loads(line)
        target = out / name
        if not target.exists() and content.get("run", {}).get("arm") not in anew:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(content))


def table() -> str:
    """Return the results as Markdown: SEG, and AP at IoU 0.5 / 0.75 / 0.9 below it."""
    lines = ["| data set, budget | version | " + " | ".join(ARMS) + " | gain | gap closed | goal |", "|---" * 10 + "|"]
    for file in sorted(RESULTS.glob("*.json")):
        found = json.loads(file.read_bytes())
        cells = [str(found["experiment"]["version"])]
        for arm in ARMS:
            scores = found["arms"].get(arm)
            if scores is None:
                cells.append("-")
                continue
            precisions = " / ".join(f"{scores[name]['mean']:.2f}" for name in ("AP50", "AP75", "AP90"))
            cells.append(f"{_seg(scores, '**')}<br>{precisions}")
        gain = _gain(found)
        cells += [_share(gain, "relative"), _share(gain, "gap_closed"), _goal(found)]
        lines.append(f"| {_named(file.stem, found)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def short_table() -> str:
    """Return SEG of all sets, without intervals, as Markdown."""
    lines = ["| data set, budget | " + " | ".join(ARMS) + " | gain |", "|---" * 7 + "|"]
    for file in sorted(RESULTS.glob("*.json")):
        found = json.loads(file.read_bytes())
        cells = [f"{found['arms'][arm]['SEG']['mean']:.3f}" if arm in found["arms"] else "-" for arm in ARMS]
        cells.append(_share(_gain(found), "relative"))
        lines.append(f"| {_named(file.stem, found)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _gain(found: dict[str, Any]) -> dict[str, Any] | None:
    """Return the difference in SEG between `real+synthetic` and `real`, where both have been run."""
    wanted = ("real+synthetic", "real", "SEG")
    return next((one for one in found["differences"] if (one["arm"], one["against"], one["metric"]) == wanted), None)


def _goal(found: dict[str, Any]) -> str:
    """Return whether the goal is met, by the means over seeds; what is recorded of single runs is not needed."""
    reached = goal(Benefit.model_validate({**found, "runs": []}))
    if reached.met is None:
        return "-"
    if reached.gap_closed is None and not reached.raises_enough:
        return "no gap"
    return "met" if reached.met else "missed"


def fill(page: Path, marker: str, lines: str) -> None:
    """Replace the table below a marker of a page."""
    before, after = page.read_text(encoding="utf-8").split(f"<!-- {marker} -->\n\n")
    rest = after[after.index("\n\n") :]
    page.write_text(f"{before}<!-- {marker} -->\n\n{lines}{rest}", encoding="utf-8")


def _named(name: str, found: dict[str, Any]) -> str:
    seeds = len(found["experiment"]["seeds"])
    done = min((sum(run["arm"] == arm for run in found["runs"]) for arm in found["arms"]), default=0)
    return name if done == seeds else f"{name} ({done} of {seeds} seeds)"


def _seg(scores: dict[str, dict[str, float]], bold: str) -> str:
    mean, low, high = (f"{scores['SEG'][end]:.3f}" for end in ("mean", "low", "high"))
    return f"{bold}{mean}{bold} [{low}, {high}]"


def _share(gain: dict[str, dict[str, float | None]] | None, kind: str) -> str:
    value = None if gain is None else gain[kind]
    if value is None:
        return "-"
    text = f"{100 * value['mean']:+.1f} %"
    if value["low"] is None or value["high"] is None:
        return f"{text}, unbounded"  # There may be no gap at all.
    return f"{text} [{100 * value['low']:+.1f}, {100 * value['high']:+.1f}]"


def show() -> None:
    """Print the table, and put it into the pages."""
    fill(PROJECT / "docs" / "benefit.md", "table", table())
    fill(PROJECT / "README.md", "benefit", short_table())
    print(table())


def main() -> None:
    """Run the chosen sets and write their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs/benefit"))
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--budgets", nargs="*", help="only these")
    parser.add_argument("--arms", help="only these, with commas between")
    parser.add_argument("--workers", type=int, help="processes; by default the cores")
    parser.add_argument("--anew", nargs="*", default=[], help="arms to run again, after a change of the generator")
    parser.add_argument("--tune", action="store_true", help="score on validation images; nothing is recorded")
    parser.add_argument("--time", type=float, help="minutes after which no further run is begun")
    parser.add_argument("--table", action="store_true", help="only print the results, and fill the pages")
    options = parser.parse_args()
    if options.table:
        show()
        return
    options.ends = time.monotonic() + 60 * (options.time or 0)
    for name in options.sets:
        for budget in SETS[name].budgets:
            if options.budgets and budget not in options.budgets:
                continue
            if not options.tune:
                restore(options.work / f"{name}-{budget}", options.anew)
            out = benefit(name, budget, options)
            if not options.tune:
                record(out)
    show()


if __name__ == "__main__":
    main()
