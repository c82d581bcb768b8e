"""Time Stable-Diffusion-1.5-sized textures, one training step and one evaluation, beside the compact network.

Run: ``python benchmarks/sd_textures.py`` (CPU) or ``python benchmarks/sd_textures.py --device cuda``. The training step
needs about 16 GB of memory on a CPU, or 11 GB with ``--checkpointing``; ``--no-training`` leaves it out (7 GB).
``--channels 32`` shrinks the networks, to try the script. Adds the figures of this machine to
``benchmarks/results/sd_textures.json``.

UNet and ControlNet are those of Stable Diffusion 1.5, built from their configuration with random weights (their speed
does not depend on the weights), on 64 x 64 x 4 samples: so the figures hold for pixel mode; latent mode adds one pass
of the VAE per texture and per training crop. Training: the ControlNet alone, AdamW. Textures per second are
extrapolated from the evaluations that were timed to whole samplers, and the output says so. The compact network is that
of the bundle `nuclei`, with its own sampler, timed in full.

On a CPU one thread is used and its own time is taken, which other processes hardly change: figures are per core. On a
GPU the wall time is taken; the compact network is timed on the CPU there, too, as it is meant to be used.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from cytocascade.cascade import Cascade
from cytocascade.diffusion.sampling import Condition
from cytocascade.diffusion.training import Batch
from cytocascade.seeding import torch_generator
from cytocascade.textures.axial_fit import ellipses
from cytocascade.textures.model import TEXTURE_STEPS, condition_image, sample_textures, to_network
from cytocascade.textures.stable_diffusion.config import BaseRecord, StableDiffusionConfig, StableDiffusionOptions
from cytocascade.textures.stable_diffusion.loading import controlnet_config, new_controlnet
from cytocascade.textures.stable_diffusion.memory import estimate_memory
from cytocascade.textures.stable_diffusion.networks import ControlledUNet, choose_trained
from cytocascade.textures.stable_diffusion.presets import SAMPLERS
from cytocascade.textures.stable_diffusion.prompt import Prompt
from cytocascade.textures.stable_diffusion.single_file import SCHEDULE
from cytocascade.textures.stable_diffusion.task import Task
from cytocascade.textures.stable_diffusion.training import chosen_precision, train_networks

RESULTS = Path(__file__).parent / "results" / "sd_textures.json"


def make_task(channels: int, batch: int) -> Task:
    """Return networks of the shape of Stable Diffusion 1.5 with random weights, and drawn cells."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        widths = tuple(channels * k for k in (1, 2, 4, 4))
        unet = UNet2DConditionModel(cross_attention_dim=768, block_out_channels=widths, attention_head_dim=8)
        prompt = Prompt(torch.randn(77, 768))
    networks = ControlledUNet(unet, new_controlnet(unet, seed=0))
    choose_trained(networks, "controlnet", lora_rank=0, seed=0)
    config = StableDiffusionConfig(
        base=BaseRecord(name="random", files={}), mode="pixel", trained="controlnet", hint="wishes",
        sampling=SAMPLERS["dpm++"], latent_channels=4, latent_size=64,
        controlnet=controlnet_config(networks.controlnet),
        schedule={**SCHEDULE, "prediction_type": "epsilon"},
    )  # fmt: skip

    def batch_at(number: int) -> Batch:
        distance = torch.as_tensor(ellipses(batch))[:, None]
        noise = torch.randn(distance.shape, generator=torch_generator(0, number))
        signal = (distance > 0).float() * (1 + 0.3 * noise)
        condition = Condition(condition_image(distance), torch.zeros(batch, 2), torch.zeros(batch, dtype=torch.long))
        return Batch(to_network(signal, "fluorescence"), torch.ones_like(signal), condition)

    return Task(networks, None, prompt, config, "fluorescence", batch_at)


def seconds(function: Callable[[], object], repeats: int, device: str) -> list[float]:
    """Return the time of every call, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        begun = clock(device)
        function()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(clock(device) - begun)
    return times[1:]


def clock(device: str) -> float:
    """Return the seconds that this process has computed for, or, for a GPU, the time."""
    return time.process_time() if device == "cpu" else time.perf_counter()


def peak_memory(device: str) -> int:
    """Return the most bytes in use so far: of the GPU, or of this process."""
    if device != "cpu":
        return int(torch.cuda.max_memory_allocated())
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def time_evaluation(task: Task, options: argparse.Namespace) -> dict[str, Any]:
    """Time one evaluation of UNet and ControlNet, and tell what whole samplers take."""
    half = torch.bfloat16 if options.device != "cpu" else torch.float32
    networks = task.networks.to(options.device, half).eval()
    made = torch_generator(0, "noise")
    noise = torch.randn(options.batch, 4, 64, 64, generator=made).to(options.device, half)
    hint = torch.rand(options.batch, 3, 512, 512, generator=made).to(options.device, half)
    tokens, step = task.prompt.tokens.to(options.device, half), torch.tensor(500, device=options.device)

    def evaluate() -> None:
        with torch.inference_mode():
            networks(noise, step, hint, tokens)

    median = statistics.median(seconds(evaluate, options.repeats, options.device))
    per_texture = {
        name: median / options.batch * sampling.steps * (1 if sampling.guidance == 1 or name == "lcm" else 2)
        for name, sampling in SAMPLERS.items()
    }
    return {
        "batch": options.batch,
        "precision": str(half).removeprefix("torch."),
        "seconds_per_evaluation": median,
        "evaluations_timed": options.repeats,
        "textures_per_second_extrapolated": {name: 1 / value for name, value in per_texture.items()},
        "peak_memory_bytes": peak_memory(options.device),
    }


def time_training(options: argparse.Namespace) -> dict[str, Any]:
    """Time one optimiser step of the ControlNet, and compare the memory with what was counted before."""
    task = make_task(options.channels, options.batch)
    wished = StableDiffusionOptions(
        base="random", mode="pixel", batch=options.batch, ema=0.0, checkpointing=options.checkpointing
    )
    precision = chosen_precision(wished, options.device)
    estimate = estimate_memory(task, wished, precision)
    stamps = [clock(options.device)]
    train_networks(
        task, wished, steps=options.steps, seed=0, device=options.device,
        progress=lambda done, total, loss: stamps.append(clock(options.device)),
    )  # fmt: skip
    # On a GPU the first step also chooses kernels.
    steps = np.diff(stamps)[1 if options.steps > 1 else 0 :]
    return {
        "batch": options.batch,
        "precision": precision,
        "gradient_checkpointing": options.checkpointing,
        "steps_timed": len(steps),
        "seconds_per_step": float(np.median(steps)),
        "images_per_second": options.batch / float(np.median(steps)),
        "memory_counted_bytes": estimate.weights + estimate.training + estimate.activations,
        "peak_memory_bytes": peak_memory(options.device),
    }


def time_compact(options: argparse.Namespace) -> dict[str, Any]:
    """Time whole textures of the compact network, as `cytocascade generate` makes them: on the CPU."""
    model, count = Cascade.from_pretrained("nuclei").bundle.textures, options.compact
    distance, wishes = ellipses(count), np.zeros((count, 2), dtype=np.float32)

    def paint() -> None:
        sample_textures(model, distance, wishes, range(count), modality="fluorescence", workers=1)

    median = statistics.median(seconds(paint, options.repeats, "cpu"))
    return {"textures": count, "evaluations_per_texture": TEXTURE_STEPS, "textures_per_second": count / median}


def machine(device: str) -> dict[str, Any]:
    """Return what the figures were measured on."""
    found = {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "threads": torch.get_num_threads(),
        **{name: version(name) for name in ("torch", "diffusers")},
    }
    return found | ({"gpu": torch.cuda.get_device_name()} if device != "cpu" else {})


def main() -> None:
    """Measure, print, and add to the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--compact", type=int, default=25)
    parser.add_argument("--channels", type=int, default=320, help="of the first level; 320 is Stable Diffusion 1.5")
    parser.add_argument("--checkpointing", action="store_true", help="less memory for the training step")
    parser.add_argument("--no-training", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
    entry: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "device": options.device,
        "machine": machine(options.device),
        "channels": options.channels,
        "compact": time_compact(options),
    }
    task = make_task(options.channels, options.batch)
    entry["parameters"] = {
        "unet": sum(value.numel() for value in task.networks.unet.parameters()),
        "controlnet": sum(value.numel() for value in task.networks.controlnet.parameters()),
    }
    entry["evaluation"] = time_evaluation(task, options)
    del task
    if not options.no_training:
        entry["training"] = time_training(options)
    known = json.loads(options.results.read_text(encoding="utf-8")) if options.results.exists() else []
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps([*known, entry], indent=1) + "\n", encoding="utf-8")
    print(json.dumps(entry, indent=1))


if __name__ == "__main__":
    main()
