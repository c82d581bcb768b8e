"""``cytocascade fit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cytocascade.arguments import checked_model, parse_duration, parse_spacing, parse_voxel
from cytocascade.cli.options import (
    Arrangement,
    Components,
    Dim,
    Images,
    Kind,
    Layout,
    Masks,
    Overwrite,
    Seed,
    Spacing,
    Sparse,
)
from cytocascade.cli.stable_diffusion import with_stable_diffusion
from cytocascade.cli.terminal import app, console, stages
from cytocascade.errors import CytoCascadeError

if TYPE_CHECKING:
    from cytocascade.images import AnnotatedDataset, StackDataset
    from cytocascade.imaging.psf import Psf
    from cytocascade.volumes.fitting import VolumeOptions


@app.command()
@with_stable_diffusion
def fit(
    images: Images,
    out: Annotated[Path, typer.Option(help="Folder of the bundle to write.")],
    masks: Masks = None,
    dim: Dim = 2,
    base: Annotated[
        str | None,
        typer.Option("--from", help="Bundle to start from; `scratch` for none; by default nuclei, phase or nuclei3d."),
    ] = None,
    budget: Annotated[str, typer.Option(help="Time to spend: 90s, 10m, 2h.")] = "10m",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps instead of a time: exactly repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted fit.")] = True,
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
    name: Annotated[str | None, typer.Option(help="Name of the bundle.")] = None,
    layout: Layout = "auto",
    spacing: Spacing = None,
    sparse: Sparse = False,
    label_components: Components = False,
    slices: Annotated[int | None, typer.Option(min=1, help="Volumes: use at most so many annotated slices.")] = None,
    arrangement: Arrangement = None,
    kind: Kind = "nucleus",
    psf: Annotated[
        str | None, typer.Option(help="Volumes: sigma along z in um, or a TIFF stack of the PSF; by default fitted.")
    ] = None,
    psf_spacing: Annotated[str | None, typer.Option(help="Micrometres per voxel of that stack, z,y,x.")] = None,
    mask_backend: Annotated[
        str, typer.Option(help="compact, or diffusers: masks by a pipeline that diffusers can load.")
    ] = "compact",
    masks_from: Annotated[
        Path | None, typer.Option(help="Take the masks from a trained DDPMPipeline or DDIMPipeline, a folder.")
    ] = None,
    mask_spacing: Annotated[float | None, typer.Option(help="Micrometres per pixel of its pictures.")] = None,
    mask_sampler: Annotated[
        str | None, typer.Option(help="Pipelines: ddim (50 steps), dpm (16) or ddpm (1000).")
    ] = None,
    mask_eta: Annotated[float | None, typer.Option(help="Pipelines: noise of DDIM, 0 to 1.")] = None,
    mask_candidates: Annotated[int, typer.Option(help="Pipelines: pictures per cell that the best is taken of.")] = 4,
    overwrite: Overwrite = False,
    stable_diffusion: Any = None,
) -> None:
    """Fit a cascade to annotated images, or for volumes (--dim 3) to annotated slices of stacks."""
    seconds = None if steps is not None else parse_duration(budget)
    if dim == 2:
        dataset: Any = read_annotated(
            images, masks, spacing=spacing, sparse=sparse, layout=layout, label_components=label_components
        )
    else:
        dataset = read_stack_dataset(images, masks, spacing, sparse, layout, label_components, slices)
    from cytocascade.bundle import find_bundle, load_bundle
    from cytocascade.fitting import FitOptions, usual_base
    from cytocascade.fitting import fit as fit_bundle
    from cytocascade.volumes.fitting import fit_volumes

    base = base or (usual_base(dataset) if dim == 2 else "nuclei3d")
    start = None if base == "scratch" else load_bundle(find_bundle(base))
    options = checked_model(
        FitOptions,
        budget=seconds,
        steps=steps,
        seed=seed,
        device=checked_device(device),
        mask_backend=mask_backend,
        masks_from=masks_from,
        mask_spacing=mask_spacing,
        mask_sampler=mask_sampler,
        mask_eta=mask_eta,
        mask_candidates=mask_candidates,
        stable_diffusion=stable_diffusion,
    )
    with stages() as report:
        given: dict[str, Any] = {
            "base": start, "name": name, "resume": resume, "overwrite": overwrite, "progress": report
        }  # fmt: skip
        if dim == 2:
            bundle = fit_bundle(list(dataset), out, options, **given)
        else:
            bundle = fit_volumes(
                dataset, out, options, volumes=_volume_options(arrangement, kind, psf, psf_spacing), **given
            )
    training = bundle.config.training
    console.print(f"Fitted on {training['cells']} cells of {len(training['images'])} images: {out}")
    typer.echo(str(out))


def checked_device(device: str) -> str:
    """Return the device, or raise `CytoCascadeError` if torch cannot use it."""
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise CytoCascadeError(
            f"the device {device!r} cannot be used ({str(error).splitlines()[0]})", hint="Use --device cpu."
        ) from error
    return device


def read_stack_dataset(
    images: Path,
    masks: Path | None,
    spacing: str | None,
    sparse: bool,
    layout: str,
    label_components: bool,
    slices: int | None,
) -> StackDataset:
    """Read stacks as the options of a command say, and show what is remarkable about them."""
    from cytocascade.images import read_stacks

    dataset = read_stacks(
        images,
        masks,
        spacing=None if spacing is None else parse_spacing(spacing),
        sparse=sparse,
        layout=layout,
        label_components=label_components,
        slices=slices,
    )
    for warning in dataset.warnings:
        console.print(f"[yellow]Note:[/] {warning}", soft_wrap=True)
    return dataset


def _volume_options(arrangement: str | None, kind: str, psf: str | None, psf_spacing: str | None) -> VolumeOptions:
    from cytocascade.volumes.fitting import VolumeOptions

    known = None if psf is None else _known_psf(psf, psf_spacing)
    return checked_model(VolumeOptions, arrangement=arrangement, kind=kind, psf=known)


def _known_psf(text: str, spacing: str | None) -> Psf:
    """Return the PSF that is given by its width along z, or by a file."""
    from cytocascade.images import read_image
    from cytocascade.imaging.measured_psf import read_psf
    from cytocascade.imaging.psf import OUT_OF_FOCUS, ConePsf

    if _is_number(text):
        return ConePsf(axial=parse_spacing(text)[0], spread=OUT_OF_FOCUS)
    file = Path(text)
    if not file.exists():
        raise CytoCascadeError(
            "there is no such file", path=file, hint="Give a TIFF stack of the PSF, or its sigma along z in um: 0.8."
        )
    stated = parse_voxel(spacing) if spacing is not None else read_image(file)[1]
    if stated is None:
        raise CytoCascadeError(
            "the PSF does not state its voxel size", path=file, hint="Give it by --psf-spacing z,y,x."
        )
    return read_psf(file, stated)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_annotated(
    images: Path,
    masks: Path | None,
    *,
    spacing: str | None,
    layout: str,
    label_components: bool,
    sparse: bool = False,
    dim: int = 2,
) -> AnnotatedDataset:
    """Read a data set as the options of a command say, and show what is remarkable about it."""
    from cytocascade.images import read_dataset

    dataset = read_dataset(
        images,
        masks,
        spacing=None if spacing is None else parse_spacing(spacing),
        sparse=sparse,
        layout=layout,
        label_components=label_components,
        dim=dim,
    )
    for warning in dataset.warnings:
        console.print(f"[yellow]Note:[/] {warning}", soft_wrap=True)
    return dataset
