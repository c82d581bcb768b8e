"""The card of a bundle: what it was trained on, in words."""

from __future__ import annotations

from typing import Any

from cytocascade.bundle import BundleConfig
from cytocascade.images.cells import SingleCells
from cytocascade.imaging.volume import axial_sigma
from cytocascade.masks.pipelines import MaskSource
from cytocascade.volumes.statistics import VolumeStatistics


def bundle_card(config: BundleConfig, cells: SingleCells, *, flecks: int = 0) -> str:
    """Return the card of a fitted bundle as Markdown; `flecks` of debris were cut out of the images."""
    training = config.training
    options = training["options"]
    base = training["base"]
    unit = "um" if config.spacing_known else "px (spacing unknown)"
    excluded = ", ".join(f"{count} {reason}" for reason, count in cells.excluded.items() if count)
    names = training["images"]
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    limits = (
        "Only some cells were annotated; density and arrangement are estimated from those."
        if training["sparse"]
        else "All cells of these images were annotated."
    )
    grid = "pixel" if config.dim == 2 else "voxel (z x y x x)"
    counted = "whole cells" if config.dim == 2 else "whole outlines"
    steps = ", ".join(f"{stage} {count}" for stage, count in training["steps"].items())
    source = "" if config.mask_source is None else f"| masks | {_masks(config.mask_source)} |\n"
    what = "images" if config.dim == 2 else "volumes, learned from annotated slices"
    foundation = _foundation(training)
    magnified = "" if config.zoom is None else f"; small cells magnified up to {config.zoom.most:.3g} times"
    kept = f"| debris | {flecks} flecks of the images' background, as they are in them |\n" if flecks else ""
    return f"""# {config.name}

A CytoCascade bundle for {config.modality} {what}: it generates annotated ones like those it was fitted on.

| | |
|---|---|
| fitted on | {len(names)} images, {training["cells"]} {counted} |
| images | {listed} |
| left out | {excluded or "no cell"} |
| {grid} | {" x ".join(f"{value:g}" for value in config.spacing)} {unit} |
| crop | 64 x 64 pixels of {config.crop_spacing:.4g} {unit.split(" ")[0]}{magnified} |
| started from | {f"{base['name']} ({base['hash'][:12]})" if base else "nothing (trained from scratch)"} |
| steps | {steps}, batch {options["batch"]} |
{source}{foundation}{kept}| seed | {options["seed"]} |
| CytoCascade | {config.version} |

{limits}

The weights and statistics were derived from the images above; their licence terms apply to what is done with
this bundle. Generated cells are new samples of the learned distribution, not measurements: do not report
biology from them. Method: Yilmaz et al., arXiv 2411.11515.
"""


def _foundation(training: dict[str, Any]) -> str:
    """Return the row about the weights that textures need beside the bundle, if they do."""
    if "stable_diffusion" not in training:
        return ""
    weights, wished = training["stable_diffusion"], training["options"]["stable_diffusion"]
    hashes = ", ".join(f"{name} {value[:12]}" for name, value in weights["files"].items())
    return (
        f"| textures | Stable Diffusion with ControlNet, {wished['mode']} mode, trained: {wished['train']} |\n"
        f"| needs | {weights['name']} (SHA-256: {hashes}); no part of this bundle, their licence applies as well |\n"
    )


def _masks(source: MaskSource) -> str:
    """Return where masks come from, if not from our own network."""
    made = (
        "a diffusers pipeline, trained on these cells"
        if not source.sha256
        else f"the diffusers pipeline `{source.origin}` ({source.sha256[:12]}): its own licence applies too"
    )
    samplers = {"ddpm": "ancestral sampling", "ddim": f"DDIM (eta {source.eta:g})", "dpm": "DPM-Solver++"}
    return f"{made}; {samplers[source.sampler]}, best of {source.candidates}"


def volume_card(config: BundleConfig, cells: SingleCells, volume: VolumeStatistics) -> str:
    """Return the card of a bundle for volumes as Markdown."""
    ratios = sorted(volume.shapes.ratios)
    low, middle, high = (ratios[int(share * (len(ratios) - 1))] for share in (0.1, 0.5, 0.9))
    heights = "measured in the stacks" if volume.shapes.measured else "the prior's, from real nuclei"
    noise = volume.texture_noise
    texture = f"length {noise.length:g} um" if noise.length is not None else f"rho {noise.rho:g}"
    kinds = ", ".join(f"{len(prior.ratios)} {prior.kind} shapes" for prior in volume.priors)
    return f"""{bundle_card(config, cells)}
## Along z

| | |
|---|---|
| stacks | {volume.stacks or "none: defaults"} |
| arrangement | {volume.arrangement.kind} ({volume.arrangement.reason}) |
| height over width | {low:.2f} / {middle:.2f} / {high:.2f} (10, 50, 90 %; {heights}) |
| blur along z | standard deviation of its core {axial_sigma(volume.microscope):.2f} um |
| textures along z | {texture} |
| shapes | multi-view diffusion (after SyncDreamer, arXiv 2309.03453), trained on {kinds} |

Surfaces are a prior, not a reconstruction: what a cell looks like from the side cannot be seen from above.
"""
