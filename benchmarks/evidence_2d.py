"""Fit on four images, generate twenty, compare with the images that were not used.

    python benchmarks/evidence_2d.py --data ../shared/data --work runs/evidence [--sets dsb2018-fluo-360] [--budget 10m]

Runs the same commands that a user would, one set after the other; what is there already is not made again.
The figures of every set go to benchmarks/results/evidence_2d.json. The base bundle `nuclei` never saw the images
used here: none of the `ctc-*` sets, and of BBBC039 and BBBC038 only images before the ones listed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "evidence_2d.json"

UNSEEN = {
    "ctc-fluo-n2dh-gowt1": range(0, 26),
    "ctc-fluo-n2dl-hela": range(0, 19),
    "bbbc039-u2os": range(24, 40),
    "dsb2018-fluo-360": range(44, 66),
}
"""Images of each set that the base bundle has never seen."""


def split(numbers: range) -> tuple[list[int], list[int]]:
    """Return four evenly spread images to fit on, and all others."""
    chosen = [numbers[round((k + 0.5) * len(numbers) / 4 - 0.5)] for k in range(4)]
    return chosen, [number for number in numbers if number not in chosen]


def link(data: Path, name: str, numbers: list[int], target: Path) -> None:
    """Put links to the numbered images and masks into `target`."""
    for kind in ("images", "masks"):
        (target / kind).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            file = target / kind / f"{number:03d}.tif"
            if not file.exists():
                file.symlink_to((data / name / kind / file.name).resolve())


def run(*arguments: object) -> float:
    """Run one cytocascade command and return its seconds."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "cytocascade.cli", *map(str, arguments)], check=True)
    return time.monotonic() - start


def experiment(name: str, options: argparse.Namespace) -> dict[str, object]:
    """Run one set and return its figures."""
    work = options.work / name
    train, test = split(UNSEEN[name])
    link(options.data, name, train, work / "train")
    link(options.data, name, test, work / "test")
    seconds: dict[str, float] = {}
    if not (work / "bundle").exists():
        seconds["fit"] = run("fit", "--images", work / "train", "--out", work / "bundle", "--budget", options.budget)
    if not (work / "synthetic" / "README.md").exists():
        seconds["generate"] = run(
            "generate", "--bundle", work / "bundle", "--count", options.count, "--out", work / "synthetic", "--seed", 1
        )
    seconds["evaluate"] = run(
        "evaluate", "--real", work / "test", "--synthetic", work / "synthetic", "--training", work / "train",
        "--out", work / "report", "--features", options.features,
    )  # fmt: skip
    report = json.loads((work / "report" / "report.json").read_bytes())
    return {
        "fitted_on": train,
        "compared_with": test,
        "generated": options.count,
        "budget": options.budget,
        "seconds": {stage: round(value, 1) for stage, value in seconds.items()},
        "summary": report["summary"],
    }


COLUMNS = {
    "area": "Cell area",
    "eccentricity": "Eccentricity",
    "solidity": "Solidity",
    "intensity": "Mean intensity",
    "CV": "Intensity variation",
    "neighbour": "Distance to the nearest neighbour",
    "told apart": "Accuracy of telling",
    "FID fields": "FID, tiles",
    "FID cells": "FID, single cells",
    "edge": "Gradient on the label's edge",
}
"""Columns of the table, and how the rows of the report's summary that they show begin."""


def table(results: dict[str, dict[str, dict[str, list[dict[str, object]]]]]) -> str:
    """Return the figures as Markdown, with real against real in brackets."""
    lines = ["| data set | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, figures in results["sets"].items():
        cells = []
        for start in COLUMNS.values():
            row = next((row for row in figures["summary"] if str(row["name"]).startswith(start)), None)
            places = 0 if start.startswith("FID") else 2
            cells.append("-" if row is None else f"{row['value']:.{places}f} ({row['floor']:.{places}f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the chosen sets and merge their figures into the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs/evidence"))
    parser.add_argument("--sets", nargs="*", default=list(UNSEEN))
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--features", default="auto")
    parser.add_argument("--table", action="store_true", help="only print the results as Markdown")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(RESULTS.read_bytes())))
        return
    for name in options.sets:
        figures = experiment(name, options)
        results = json.loads(RESULTS.read_bytes()) if RESULTS.exists() else {}
        results["machine"] = f"{platform.machine()}, {platform.processor() or 'unknown CPU'}"
        results["date"] = datetime.date.today().isoformat()
        results.setdefault("sets", {})[name] = figures
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        print(name, json.dumps(figures["summary"], indent=1))


if __name__ == "__main__":
    main()
