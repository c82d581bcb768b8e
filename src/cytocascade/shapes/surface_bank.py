"""Surfaces on disk: made once, used again with random turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from cytocascade.errors import CytoCascadeError
from cytocascade.seeding import numpy_generator
from cytocascade.shapes.voxels import rotate_about_z
from cytocascade.storage import hash_files, write_atomically
from cytocascade.types import CellSurface

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class SurfaceBank:
    """A set of surfaces.

    Attributes
    ----------
    surfaces : tuple of CellSurface
        All on grids of one size.
    hash : str
        SHA-256 of the file; empty if there is none yet.
    """

    surfaces: tuple[CellSurface, ...]
    hash: str = ""

    def draw(self, seed: int) -> CellSurface:
        """Return one of the surfaces, turned about z and perhaps mirrored."""
        generator = numpy_generator(seed, "surface")
        chosen = self.surfaces[int(generator.integers(len(self.surfaces)))]
        return rotate_about_z(chosen, float(generator.uniform(0, 2 * np.pi)), bool(generator.random() < 0.5))

    @staticmethod
    def save(surfaces: Sequence[CellSurface], path: Path) -> None:
        """Write surfaces to `path`, in half precision.

        Raises
        ------
        CytoCascadeError
            If there are none.
        """
        if not surfaces:
            raise CytoCascadeError("there is no surface to keep", path=path, hint="Make at least one.")
        tensors = {
            # In steps of the grid, so that half precision is as good for small cells as for large ones.
            "distance": np.stack([one.distance / one.step for one in surfaces]).astype(np.float16),
            "step": np.asarray([one.step for one in surfaces], dtype=np.float32),
            "origin": np.asarray([one.origin for one in surfaces], dtype=np.float32),
        }
        write_atomically(path, lambda temporary: save_file(tensors, temporary))

    @staticmethod
    def load(path: str | Path) -> SurfaceBank:
        """Read a bank written by `save`.

        Raises
        ------
        CytoCascadeError
            If the file is missing, damaged, or something else.
        """
        file = Path(path)
        if not file.is_file():
            raise CytoCascadeError(
                "there is no such file", path=file, hint="Make one with `cytocascade shapes --save-bank FILE`."
            )
        stat = file.stat()
        return _load(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=2)
def _load(file: Path, changed: int, size: int) -> SurfaceBank:
    try:
        tensors = load_file(file)
        rows = list(zip(tensors["distance"], tensors["step"], tensors["origin"], strict=True))
        surfaces = tuple(
            CellSurface(
                distance.astype(np.float32) * np.float32(step),
                float(step),
                (float(origin[0]), float(origin[1]), float(origin[2])),
            )
            for distance, step, origin in rows
        )
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CytoCascadeError(
            f"this is no bank of shapes ({error})",
            path=file,
            hint="Make one with `cytocascade shapes --save-bank FILE`.",
        ) from error
    if not surfaces:
        raise CytoCascadeError("the bank of shapes is empty", path=file, hint="Make a new one.")
    return SurfaceBank(surfaces, hash_files(file.parent, [file]))
