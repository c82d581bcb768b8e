"""Time one image with 100 new cells, beside the texture stage of arXiv 2411.11515 on one cell.

Run: ``python benchmarks/generate_2d.py`` (``--skip-reference`` leaves the second part out: it needs about 6 GB
and, on two idle cores, about a minute). Writes ``benchmarks/results/generate_2d.json``.

Ours: `cytocascade generate` in a fresh process; its wall time holds the start of Python, the loading of the bundle,
100 new masks, 100 new textures, placement, background, noise and the writing of the files.

Reference: the networks that the paper's code uses for texture, UNet and ControlNet of Stable Diffusion 1.5, built
from their configuration with random weights (their speed does not depend on the weights), single precision,
64 x 64 x 4 samples, an embedding of the empty prompt, 50 steps, guidance (two evaluations per step). A few
evaluations are timed; the cell's time is extrapolated from their median, and the output says so.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "generate_2d.json"

CHILD = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:])
wall = time.perf_counter() - start
use = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"code": code, "wall": wall, "cpu": use.ru_utime + use.ru_stime, "peak_kib": use.ru_maxrss}))
"""
"""Runs one command; in a process of its own, so that the peak memory is that of the command alone."""

STEPS, EVALUATIONS_PER_STEP = 50, 2
"""DDIM steps of the paper's texture stage, and evaluations in each (with and without the condition)."""


def time_generate(options: argparse.Namespace) -> dict[str, Any]:
    """Run `cytocascade generate` for one image in a fresh process and return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "cytocascade.cli", "generate", "--bundle", options.bundle, "--count", "1"),
            *("--size", options.size, "--cells", str(options.cells), "--seed", str(options.seed)),
            *("--workers", str(options.workers), "--out", f"{folder}/data"),
        ]
        done = subprocess.run([sys.executable, "-c", CHILD, *command], stdout=subprocess.PIPE, text=True, check=True)
        figures = json.loads(done.stdout.splitlines()[-1])
        if figures["code"] != 0:
            raise SystemExit(f"cytocascade generate failed ({figures['code']})")
        record = json.loads(Path(folder, "data", "manifest.jsonl").read_text(encoding="utf-8").splitlines()[0])
    counts = record["params"]["masks"]
    return {
        "command": " ".join(command[1:-2]),
        "wall_seconds": round(figures["wall"], 2),
        "cpu_seconds": round(figures["cpu"], 2),
        "peak_mib": round(figures["peak_kib"] / 1024, 1),
        "cells_asked": options.cells,
        "cells_in_image": len(record["cells"]),
        "masks_drawn": counts["drawn"],
        "masks_rejected": counts["rejected"],
        "cells_without_place": counts["unplaced"],
        "seconds_per_cell": round(figures["wall"] / max(1, len(record["cells"])), 4),
        "bundle": record["bundle"],
    }


def time_reference(evaluations: int) -> dict[str, Any]:
    """Time UNet + ControlNet of Stable Diffusion 1.5 on one cell and extrapolate."""
    import torch
    from diffusers import ControlNetModel, UNet2DConditionModel

    shape: dict[str, Any] = {
        "in_channels": 4,
        "block_out_channels": (320, 640, 1280, 1280),
        "layers_per_block": 2,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
    }
    unet = UNet2DConditionModel(sample_size=64, out_channels=4, **shape).eval()
    control = ControlNetModel(**shape).eval()
    sample, prompt = torch.randn(1, 4, 64, 64), torch.randn(1, 77, 768)
    # The hint passes a fixed encoder that reduces it eightfold, to the size of the sample.
    hint = torch.rand(1, 3, 512, 512)
    seconds = []
    with torch.inference_mode():
        for _ in range(evaluations + 1):
            start = time.perf_counter()
            down, middle = control(sample, 500, prompt, hint, return_dict=False)
            unet(sample, 500, prompt, down_block_additional_residuals=down, mid_block_additional_residual=middle)
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds[1:])  # the first one warms up
    return {
        "networks": "UNet2DConditionModel + ControlNetModel, configured as SD 1.5, random weights, float32",
        "parameters": sum(p.numel() for network in (unet, control) for p in network.parameters()),
        "evaluations_timed": evaluations,
        "seconds_per_evaluation": round(median, 2),
        "steps": STEPS,
        "evaluations_per_step": EVALUATIONS_PER_STEP,
        "extrapolated_seconds_per_cell": round(median * STEPS * EVALUATIONS_PER_STEP, 1),
    }


def machine() -> dict[str, Any]:
    """Return where and with what this ran."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "memory_gib": round(memory, 1),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("cytocascade", "torch", "diffusers", "numpy", "scipy")},
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def main() -> None:
    """Run both parts, print them, write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="nuclei", help="shipped name or folder")
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--evaluations", type=int, default=3, help="evaluations of the reference that are timed")
    parser.add_argument("--skip-reference", action="store_true", help="leave Stable Diffusion out")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "generate": time_generate(options)}
    ours = result["generate"]
    print(
        f"One image, {ours['cells_in_image']} new cells, {options.size}: {ours['wall_seconds']} s wall with start-up, "
        f"{ours['cpu_seconds']} s of CPU, peak {ours['peak_mib']} MiB, {ours['seconds_per_cell']} s per cell"
    )
    if result["machine"]["load_before"] > 0.5:
        print(f"Other work was running (load {result['machine']['load_before']}): wall times are too long.")
    if not options.skip_reference:
        result["reference"] = reference = time_reference(options.evaluations)
        per_cell = reference["extrapolated_seconds_per_cell"]
        result["ratio_per_cell"] = round(per_cell / ours["seconds_per_cell"], 1)
        print(
            f"Texture of one cell with Stable Diffusion 1.5 + ControlNet: {reference['seconds_per_evaluation']} s per "
            f"evaluation (median of {options.evaluations}); extrapolated to {STEPS} steps of {EVALUATIONS_PER_STEP}: "
            f"{per_cell} s per cell\nRatio per cell (theirs: texture alone; ours: everything): "
            f"{result['ratio_per_cell']}"
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"Written: {options.out}")


if __name__ == "__main__":
    main()
