"""``cytocascade evaluate`` and ``info``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cytocascade import __version__
from cytocascade.arguments import parse_spacing
from cytocascade.cli.options import Layout, Seed, Spacing, Sparse
from cytocascade.cli.terminal import app, stages


@app.command()
def evaluate(
    real: Annotated[Path, typer.Option(help="Real annotated images, any layout.")],
    synthetic: Annotated[Path, typer.Option(help="Synthetic annotated images.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json and index.html.")],
    training: Annotated[
        Path | None, typer.Option(help="The images that the cascade was fitted on, to look for copies.")
    ] = None,
    spacing: Spacing = None,
    sparse: Sparse = False,
    layout: Layout = "auto",
    dim: Annotated[int | None, typer.Option(min=2, max=3, help="2 for images, 3 for volumes: as the files.")] = None,
    features: Annotated[str, typer.Option(help="auto, inception, efficientnet or none.")] = "auto",
    seed: Seed = 0,
) -> None:
    """Compare synthetic with real images, or volumes: figures, floors, pictures."""
    from cytocascade.evaluation import evaluate_folders

    with stages() as report:
        evaluate_folders(
            real,
            synthetic,
            out,
            training=training,
            spacing=None if spacing is None else parse_spacing(spacing),
            sparse=sparse,
            layout=layout,
            dim=dim,
            seed=seed,
            features=features,  # type: ignore[arg-type]
            progress=lambda stage, fraction: report(stage, round(100 * fraction), 100, ""),
        )
    typer.echo(str(out / "index.html"))


@app.command()
def info(bundle: Annotated[str, typer.Argument(help="Name of a shipped bundle, or a folder.")] = "") -> None:
    """Show the card of a bundle, or list the shipped ones."""
    from cytocascade.bundle import find_bundle, shipped_bundles

    if not bundle:
        typer.echo(f"CytoCascade {__version__}; shipped bundles: {', '.join(shipped_bundles()) or 'none'}")
        return
    typer.echo((find_bundle(bundle) / "README.md").read_text(encoding="utf-8"))
