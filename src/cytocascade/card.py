"""The card of a bundle: what it was trained on, in words."""

from __future__ import annotations

from cytocascade.bundle import BundleConfig
from cytocascade.images.cells import SingleCells


def bundle_card(config: BundleConfig, cells: SingleCells) -> str:
    """Return the card of a fitted bundle as Markdown."""
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
    return f"""# {config.name}

A CytoCascade bundle for {config.modality} images: it generates annotated images like those it was fitted on.

| | |
|---|---|
| fitted on | {len(names)} images, {training["cells"]} whole cells |
| images | {listed} |
| left out | {excluded or "no cell"} |
| pixel | {" x ".join(f"{value:g}" for value in config.spacing)} {unit} |
| crop | 64 x 64 pixels of {config.crop_spacing:.4g} {unit.split(" ")[0]} |
| started from | {f"{base['name']} ({base['hash'][:12]})" if base else "nothing (trained from scratch)"} |
| steps | masks {training["steps"]["masks"]}, textures {training["steps"]["textures"]}, batch {options["batch"]} |
| seed | {options["seed"]} |
| CytoCascade | {config.version} |

{limits}

The weights and statistics were derived from the images above; their licence terms apply to what is done with
this bundle. Generated cells are new samples of the learned distribution, not measurements: do not report
biology from them. Method: Yilmaz et al., arXiv 2411.11515.
"""
