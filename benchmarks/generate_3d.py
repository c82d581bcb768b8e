"""Time one volume of 48 x 256 x 256 voxels with 20 new cells.

Run: ``python benchmarks/generate_3d.py``. Writes ``benchmarks/results/generate_3d.json``. A fresh process of
`cytocascade generate`: start of Python, masks, views, surfaces, voxels, textures of all slices, placement, optics,
background, noise and files. The reference is what the paper's shape stage takes on a GPU, as published: SyncDreamer
10 s per cell on an A100, then NeuS about 10 minutes per cell.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from generate_2d import machine, time_generate

PUBLISHED_SECONDS_PER_CELL = 10 + 600


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="nuclei3d", help="shipped name or folder")
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--size", default="48x256x256")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "generate_3d.json")
    options = parser.parse_args()
    result = {"machine": machine(), "generate": time_generate(options)}
    ours = result["generate"]
    result["published shape stage on a GPU, seconds per cell"] = PUBLISHED_SECONDS_PER_CELL
    result["ratio per cell (theirs: shape alone; ours: everything)"] = round(
        PUBLISHED_SECONDS_PER_CELL / ours["seconds_per_cell"], 1
    )
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(
        f"One volume, {ours['cells_in_image']} new cells, {options.size}: {ours['wall_seconds']} s wall with start-up, "
        f"{ours['cpu_seconds']} s of CPU, peak {ours['peak_mib']} MiB, {ours['seconds_per_cell']} s per cell"
    )


if __name__ == "__main__":
    main()
