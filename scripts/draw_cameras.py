"""Draw docs/images/cameras.png: where the cameras stand, what they see of a generated cell, and its surface.

python scripts/draw_cameras.py --bundle nuclei3d
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from skimage.measure import marching_cubes

from cytocascade.bundle import find_bundle, load_bundle
from cytocascade.shapes.cameras import VIEWS, ring
from cytocascade.shapes.neus import reconstruct
from cytocascade.shapes.sampling import frame_masks, sample_views
from cytocascade.volumes.shape_library import draw_shape_masks


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="nuclei3d")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/images/cameras.png"))
    arguments = parser.parse_args()
    bundle = load_bundle(find_bundle(arguments.bundle))
    model, _ = bundle.volume_parts()
    mask = draw_shape_masks(bundle, 1, arguments.seed)[0]
    framed = frame_masks(mask.distance[None], mask.spacing, np.array([0.55], dtype=np.float32))
    views = sample_views(model, framed, [arguments.seed])
    grid = reconstruct(views, framed.mask)[0].numpy()
    figure = plt.figure(figsize=(13, 5.6), dpi=110, facecolor="white")
    world = figure.add_axes((0.0, 0.02, 0.40, 0.96), projection="3d")
    vertices, faces, *_ = marching_cubes(grid, 0.0)
    z, y, x = (vertices * 2 / (grid.shape[0] - 1) - 1).T
    world.plot_trisurf(x, y, z, triangles=faces, color="#4c9be8", linewidth=0, antialiased=False, alpha=1.0)
    for number, axes in enumerate(ring()):
        stand = -1.9 * axes[2].numpy()
        world.scatter(*stand, color="#d6523e", s=24)
        world.plot(*zip(stand, 0.82 * stand), color="#d6523e", linewidth=1)
        world.text(*(1.12 * stand), str(number), fontsize=8, ha="center", va="center")
    world.scatter(0, 0, -1.7, color="#2c7a3f", s=40, marker="^")
    world.text(0, 0, -1.98, "input mask (along z)", color="#2c7a3f", fontsize=9, ha="center")
    world.plot([0, 0], [0, 0], [-1.7, -1.2], color="#2c7a3f", linewidth=1)
    world.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), zlim=(-1.5, 1.5), xlabel="x", ylabel="y", zlabel="z")
    world.set_box_aspect((1, 1, 1))
    world.view_init(elev=18, azim=-60)
    world.set_title("16 orthographic cameras at 30 degrees, 22.5 degrees apart", fontsize=10)
    names = ("silhouette field", "first surface", "last surface")
    for number in range(VIEWS):
        row, column = divmod(number, 4)
        for channel in range(3):
            left = 0.42 + 0.145 * column + 0.044 * channel
            axis = figure.add_axes((left, 0.72 - 0.235 * row, 0.043, 0.17))
            picture = views[0, number, channel].numpy().copy()
            if channel:
                picture[views[0, number, 0].numpy() < 0] = np.nan
            axis.imshow(picture, cmap="viridis" if channel == 0 else "magma_r", interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            if channel == 0:
                axis.set_title(f"camera {number}", fontsize=8, loc="left")
            if row == 3:
                axis.set_xlabel(names[channel], fontsize=5.5)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
