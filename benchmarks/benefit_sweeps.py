"""How much synthetic data, and how much real: two figures of `docs/benefit.md`.

    python benchmarks/benefit_sweeps.py --data ../shared/data --work runs/benefit [--seeds 1] [--draw]

The first: HeLa, a window of about 20 cells, with 1, 5 and 25 times its area of synthetic images. The second: DSB,
budgets of 10, 20 and 50 cells and of 1, 2 and 4 images, with and without synthetic images. Goes on where it was left:
what the main table (benchmarks/results/benefit/) has already is taken from there, with its three seeds, and what
benchmarks/results/benefit_sweeps.json has is kept, unless `--anew` is given; `--draw` only draws.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

from benefit import RESULTS as TABLE
from benefit import command_for, figures

RESULTS = Path(__file__).parent / "results" / "benefit_sweeps.json"
PICTURES = Path(__file__).parents[1] / "docs" / "images"

AMOUNTS = (1, 5, 25)
BUDGETS = ("10cells", "20cells", "50cells", "1", "2", "4")
WINDOWS = 3
SWEEPS = {
    "amount": ("ctc-fluo-n2dl-hela", ("20cells",), ["real", *(f"real+synthetic@{amount}" for amount in AMOUNTS)]),
    "budget": ("dsb2018-fluo-360", BUDGETS, ["real", "real+synthetic"]),
}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run what is missing of both sweeps, and return their figures."""
    found: dict[str, Any] = json.loads(RESULTS.read_bytes()) if RESULTS.exists() else {}
    for sweep in options.sweeps:
        name, budgets, arms = SWEEPS[sweep]
        for budget in budgets:
            tabled = TABLE / f"{name}-{budget}.json"
            recorded = [json.loads(tabled.read_bytes())] if tabled.exists() else []
            if not options.anew and f"{sweep}-{budget}" in found:
                recorded.append(found[f"{sweep}-{budget}"])
            known = next((one for one in recorded if set(arms) <= one["arms"].keys()), None)
            if known is None:
                command = [*command_for(name, budget, options), "--arms", ",".join(arms), "--seeds", options.seeds]
                subprocess.run([str(part) for part in command], check=True)
                known = figures(options.work / f"{name}-{budget}")
            found[f"{sweep}-{budget}"] = known
            RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return found


def draw(found: dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]]) -> None:
    """Draw the figures of the sweeps that are complete."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    if _complete("amount", found):
        arms = found["amount-20cells"]["arms"]
        names = SWEEPS["amount"][2]
        _, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
        _line(axes, [arms[name]["SEG"] for name in names], "#e07b1a", "real + synthetic")
        axes.set_xticks(range(len(names)), ["none", *(f"{amount} x" for amount in AMOUNTS)])
        axes.set(xlabel="area of synthetic images over that of the real window", ylabel="SEG", title="HeLa, 20 cells")
        axes.figure.savefig(PICTURES / "benefit_amount.png", dpi=130)
    if _complete("budget", found):
        _, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
        for arm, colour in (("real", "#2a6ab5"), ("real+synthetic", "#e07b1a")):
            scores = [found[f"budget-{budget}"]["arms"][arm]["SEG"] for budget in BUDGETS]
            # Windows and whole images are of different images: no line leads from one to the other.
            _line(axes, scores[:WINDOWS], colour, arm)
            _line(axes, scores[WINDOWS:], colour, None, first=WINDOWS)
        windows = [budget.replace("cells", " cells") for budget in BUDGETS[:WINDOWS]]
        words = [*windows, "1 image", "2 images", "4 images"]
        axes.set_xticks(range(len(words)), words)
        axes.set(xlabel="annotated", ylabel="SEG", title="DSB")
        axes.legend(frameon=False)
        axes.figure.savefig(PICTURES / "benefit_budget.png", dpi=130)


def _complete(sweep: str, found: dict[str, object]) -> bool:
    return all(f"{sweep}-{budget}" in found for budget in SWEEPS[sweep][1])


def _line(axes: object, scores: list[dict[str, float]], colour: str, name: str | None, first: int = 0) -> None:
    places = range(first, first + len(scores))
    axes.plot(places, [score["mean"] for score in scores], "o-", color=colour, label=name)  # type: ignore[attr-defined]
    low, high = ([score[end] for score in scores] for end in ("low", "high"))
    axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)  # type: ignore[attr-defined]


def main() -> None:
    """Run and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs/benefit"))
    parser.add_argument("--sweeps", nargs="*", choices=list(SWEEPS), default=list(SWEEPS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--anew", action="store_true", help="run again what only the sweeps need")
    parser.add_argument("--draw", action="store_true", help="only draw what is recorded")
    options = parser.parse_args()
    found = json.loads(RESULTS.read_bytes()) if options.draw else run(options)
    draw(found)


if __name__ == "__main__":
    main()
