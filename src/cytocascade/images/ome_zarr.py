"""Images and labels in OME-Zarr folders (versions 0.4 and 0.5)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from cytocascade.errors import CytoCascadeError
from cytocascade.images.spacing import MICROMETRES
from cytocascade.types import Array


def is_zarr(path: Path) -> bool:
    """Return whether `path` is a Zarr group: an image, or the labels inside one."""
    return path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup"))


def load_zarr(path: Path) -> tuple[Array, str, dict[str, float]]:
    """Read the full resolution of an OME-Zarr image or label image.

    Parameters
    ----------
    path : Path
        The group that holds the multiscales: ``x.ome.zarr``, or ``x.ome.zarr/labels/cells``.

    Returns
    -------
    pixels : ndarray
        As stored.
    axes : str
        One upper-case letter for each axis: T, C, Z, Y, X.
    sizes : dict of str to float
        Micrometres per pixel of each axis that has a unit of length.

    Raises
    ------
    CytoCascadeError
        If the package zarr is missing, or the group is damaged or no OME-Zarr image.
    """
    if find_spec("zarr") is None:
        raise CytoCascadeError(
            "reading OME-Zarr needs the package zarr", path=path, hint="pip install 'cytocascade[zarr]'"
        )
    import zarr

    try:
        group = zarr.open_group(path, mode="r")
        multiscale = _attributes(group)["multiscales"][0]
        dataset = multiscale["datasets"][0]
        pixels = np.asarray(group[dataset["path"]])
        names = [axis["name"].upper() for axis in multiscale["axes"]]
        scale = _scale(multiscale, dataset, pixels.ndim)
        units = [MICROMETRES.get(str(axis.get("unit", "")).lower()) for axis in multiscale["axes"]]
    except Exception as error:  # stores and codecs raise whatever they like on damaged files
        raise CytoCascadeError(
            f"cannot be read as OME-Zarr 0.4 or 0.5 ({error})",
            path=path,
            hint="Check it with: ome-zarr-models validate FOLDER",
        ) from error
    if len(names) != pixels.ndim or any(len(name) != 1 for name in names):
        raise CytoCascadeError(f"the axes {names} do not fit an array of shape {pixels.shape}", path=path)
    sizes = {name: size * unit for name, size, unit in zip(names, scale, units) if unit is not None}
    return pixels, "".join(names), sizes


def _attributes(group: Any) -> dict[str, Any]:
    """Return the OME attributes: below ``ome`` from version 0.5 on."""
    attributes = dict(group.attrs)
    ome: dict[str, Any] = attributes.get("ome", attributes)
    return ome


def _scale(multiscale: dict[str, Any], dataset: dict[str, Any], ndim: int) -> list[float]:
    """Return the product of the data set's scale and the one for all data sets."""
    scale = np.ones(ndim)
    for owner in (dataset, multiscale):
        for step in owner.get("coordinateTransformations", ()):
            if step["type"] == "scale":
                scale = scale * np.asarray(step["scale"], float)
    return [float(size) for size in scale]
