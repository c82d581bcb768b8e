"""Volumes learned from ten annotated slices, beside real volumes that were not seen.

    python benchmarks/evidence_3d.py --data ../shared/data

The bundle `nuclei3d` was fitted on ten annotated slices of windows 000 and 001 of 3d-cultured-nuclei
(`scripts/make_nuclei3d.py`). It generates ten volumes; `cytocascade evaluate` compares them with windows 002 to 009.
Writes ``benchmarks/results/evidence_3d.json``, the report below --work, and docs/images/evidence_3d.png.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
from pathlib import Path

import numpy as np
from generate_2d import machine
from PIL import Image

from cytocascade.cascade import Cascade
from cytocascade.evaluation import evaluate_folders
from cytocascade.generation_options import GenerationOptions
from cytocascade.images import read_image, read_mask
from cytocascade.volume_pictures import volume_sheet

SET, SEEN, SPACING = "3d-cultured-nuclei", ("000", "001"), (0.5, 0.3788, 0.3788)
SHAPE = (31, 160, 160)


def copy_windows(source: Path, target: Path, names: list[str]) -> Path:
    """Put windows of the set into a folder of their own."""
    for part in ("images", "masks"):
        (target / part).mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copy(source / part / f"{name}.tif", target / part / f"{name}.tif")
    return target


def main() -> None:
    """Generate, evaluate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--bundle", default="nuclei3d")
    parser.add_argument("--work", type=Path, default=Path("runs/evidence_3d"))
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    source = options.data / SET
    names = sorted(path.stem for path in (source / "images").glob("*.tif"))
    real = copy_windows(source, options.work / "real", [name for name in names if name not in SEEN])
    seen = copy_windows(source, options.work / "seen", list(SEEN))
    cascade = Cascade.from_pretrained(options.bundle)
    wishes = GenerationOptions(size=SHAPE)
    made = options.work / "synthetic"
    cascade.write(options.count, made, seed=options.seed, options=wishes, overwrite=True)
    result = evaluate_folders(real, made, options.work / "report", training=seen, spacing=SPACING, dim=3)
    summary = json.loads((options.work / "report" / "report.json").read_text())["summary"]
    values = {
        row["name"]: {key: row[key] for key in ("value", "floor", "goal", "verdict") if row[key] is not None}
        for row in summary
    }
    output = {"machine": machine(), "bundle": cascade.bundle.hash[:12], "set": SET, "not seen": len(names) - len(SEEN),
              "generated": options.count, "figures": values}  # fmt: skip
    target = Path(__file__).parent / "results" / "evidence_3d.json"
    target.write_text(json.dumps(output, indent=1) + "\n", encoding="utf-8")
    sheets = []
    shown = (
        (f"Real, not seen ({SET}, MIT License, window 003)", source, "003"),
        (f"Generated, bundle {cascade.bundle.config.name}", made, "000000"),
    )
    for title, folder, name in shown:
        image, _ = read_image(folder / "images" / f"{name}.tif")
        labels = read_mask(folder / "masks" / f"{name}.tif")
        sheets.append(volume_sheet(image, labels, SPACING, title=title, width=330))
    wide = max(sheet.shape[1] for sheet in sheets)
    padded = [np.pad(sheet, ((0, 0), (0, wide - sheet.shape[1]), (0, 0)), mode="edge") for sheet in sheets]
    Image.fromarray(np.concatenate(padded)).save("docs/images/evidence_3d.png", optimize=True)
    print(f"{datetime.date.today()}: {target}; {type(result).__name__} in {options.work / 'report'}")
    for name, row in values.items():
        print(f"{name}: {row['value']:.3f} (floor {row.get('floor', float('nan')):.3f}) {row.get('verdict', '')}")


if __name__ == "__main__":
    main()
