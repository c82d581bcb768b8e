"""Pixels and pixel size of one image or mask file."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image
from skimage.measure import label as connected_components

from cytocascade.errors import CytoCascadeError
from cytocascade.images.ome_zarr import is_zarr, load_zarr
from cytocascade.images.spacing import tiff_spacing
from cytocascade.images.tiff_integrity import missing_bytes
from cytocascade.types import Array, label_dtype

TIFF_SUFFIXES = (".tif", ".tiff")
IMAGE_SUFFIXES = (*TIFF_SUFFIXES, ".png")
"""Files that can be read (any case); ``.ome.tif`` is a TIFF."""

_HOW_TO_SAVE_LABELS = (
    "Save the mask as a one-channel integer image: 0 = background, every other value one cell, for example "
    "tifffile.imwrite('mask.tif', labels.astype('uint16'))."
)

_HOW_TO_SAY_Z = (
    " If they are slices along z, say so in the file: in Fiji by Image > Properties, in Python by "
    "tifffile.imwrite(path, stack, imagej=True, metadata={'axes': 'ZYX'})."
)


def read_image(path: str | Path) -> tuple[Array, tuple[float, ...] | None]:
    """Read a grey image, 2D or 3D.

    Axes of length one are dropped, equal colour channels become one grey channel. Integers that fit become
    uint16, others (and every float) float32; uint8 and uint16 stay.

    Parameters
    ----------
    path : path-like
        TIFF, OME-TIFF, ImageJ TIFF or PNG; or the folder of an OME-Zarr image.

    Returns
    -------
    image : ndarray, (Y, X) or (Z, Y, X), uint8, uint16 or float32
        Intensities as stored.
    spacing : tuple of float or None
        Micrometres per pixel along each axis of `image`; None unless the file states all of them.

    Raises
    ------
    CytoCascadeError
        If the file is missing, cut, no image, coloured, 1-bit, holds NaN or infinity, or has a channel or
        time axis.
    """
    path = Path(path)
    pixels, axes, spacing = _load(path)
    if axes.endswith("S"):
        pixels = _grey(path, pixels)
    return _as_intensities(path, pixels), spacing


def read_mask(path: str | Path, *, label_components: bool = False) -> Array:
    """Read an instance mask, 2D or 3D.

    Parameters
    ----------
    path : path-like
        TIFF or PNG of any integer type or of 1 bit. In a palette PNG the palette's indices are the labels. Or the
        folder of an OME-Zarr label image (``x.ome.zarr/labels/cells``).
    label_components : bool
        Whether to number the connected regions of equal value anew (touching along corners counts as
        connected), for masks that only tell cells from background.

    Returns
    -------
    ndarray of uint16 or uint32, (Y, X) or (Z, Y, X)
        0 is background, every other value one cell. Values are kept; uint32 only where uint16 cannot hold
        them.

    Raises
    ------
    CytoCascadeError
        If the file cannot be read or holds colours, floats, or labels outside 0 to 2**32 - 1.
    """
    path = Path(path)
    pixels, axes, _ = _load(path, palette_indices=True)
    if axes.endswith("S"):
        raise CytoCascadeError(
            f"the mask is a colour image ({pixels.shape[-1]} channels), so labels are unknown",
            path=path,
            hint=_HOW_TO_SAVE_LABELS + " If all channels are equal, keep one of them.",
        )
    labels = _as_labels(path, pixels)
    if label_components:
        labels = np.asarray(connected_components(labels))
        labels = labels.astype(label_dtype(int(labels.max(initial=0))))
    return labels


def _load(path: Path, *, palette_indices: bool = False) -> tuple[Array, str, tuple[float, ...] | None]:
    """Return pixels, axes ("YX", "ZYX", with a last "S" for colours) and spacing (without the colours)."""
    if is_zarr(path):
        pixels, axes, sizes = load_zarr(path)
        pixels, axes = _spatial_axes(path, pixels, axes)
        known = tuple(sizes[axis] for axis in axes if axis in sizes)
        return pixels, axes, known if len(known) == len(axes) else None
    if not path.is_file():
        raise CytoCascadeError("there is no such file", path=path)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise CytoCascadeError(
            f"files of type '{suffix}' cannot be read", path=path, hint="Save the image as TIFF or PNG."
        )
    try:
        if suffix in TIFF_SUFFIXES:
            return _load_tiff(path)
        pixels = _load_png(path, palette_indices)
    except CytoCascadeError:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise CytoCascadeError(
            f"cannot be read; the file is damaged, cut off, or not what its name says ({error})",
            path=path,
            hint="Open it in Fiji to check it, then copy or export it again.",
        ) from error
    return pixels, "YX" if pixels.ndim == 2 else "YXS", None


def _load_png(path: Path, palette_indices: bool) -> Array:
    data = path.read_bytes()
    depth, colours = data[24:25], data[25:26]  # of the header
    if palette_indices and colours == b"\3":
        with Image.open(path, formats=["PNG"]) as image:
            return np.asarray(image)
    # Pillow would cut 16-bit colours to 8 bit and refuse very large images.
    pixels = np.asarray(imagecodecs.png_decode(data))
    return pixels != 0 if (depth, colours) == (b"\1", b"\0") else pixels


def _load_tiff(path: Path) -> tuple[Array, str, tuple[float, ...] | None]:
    with tifffile.TiffFile(path) as tif:
        missing = missing_bytes(path, tif)
        if missing is not None:
            raise CytoCascadeError(f"the file is cut off: {missing}", path=path, hint="Copy or export it again.")
        series = tif.series[0]
        if any(other.size >= series.size for other in tif.series[1:]):  # smaller ones are thumbnails
            shapes = ", ".join(str(one.shape) for one in tif.series[:4])
            raise CytoCascadeError(
                f"the file holds {len(tif.series)} images (shapes {shapes})",
                path=path,
                hint="Save each image as a file of its own.",
            )
        pixels, axes = _spatial_axes(path, np.asarray(series.asarray()), series.axes)
        return pixels, axes, tiff_spacing(tif, axes.removesuffix("S"))


def _spatial_axes(path: Path, pixels: Array, axes: str) -> tuple[Array, str]:
    """Drop axes of length one, put colours last and refuse what is neither space nor colour."""
    keep = [k for k, axis in enumerate(axes) if axis in "YX" or pixels.shape[k] > 1]
    axes = "".join(axes[k] for k in keep)
    pixels = pixels.reshape([pixels.shape[k] for k in keep])
    for axis, meaning in (("C", "channels"), ("T", "time points")):
        if axis in axes:
            raise CytoCascadeError(
                f"the file has {pixels.shape[axes.index(axis)]} {meaning} (axes {axes}, shape {pixels.shape})",
                path=path,
                hint=f"Save one of the {meaning} per file." + ("" if "Z" in axes else _HOW_TO_SAY_Z),
            )
    if "S" in axes:
        pixels = np.moveaxis(pixels, axes.index("S"), -1)
        axes = axes.replace("S", "") + "S"
    elif len(axes) == 3 and axes[0] in "QI" and pixels.shape[2] in (3, 4) and min(pixels.shape[:2]) > 8:
        # Written as (Y, X, 3) by a writer that did not know it for colours: three columns are no image.
        return pixels, "YXS"
    space = axes.removesuffix("S")
    if space == "YX" or (len(space) == 3 and space.endswith("YX")):  # pages without a meaning are slices
        return pixels, "ZYXS"[4 - len(axes) :] if axes.endswith("S") else "ZYX"[3 - len(axes) :]
    raise CytoCascadeError(
        f"images have the axes YX or ZYX, this one has {axes} (shape {pixels.shape})",
        path=path,
        hint="Save each 2D image or (Z, Y, X) stack as a file of its own.",
    )


def _grey(path: Path, pixels: Array) -> Array:
    """Return the one channel that all colour channels repeat; the last axis holds the channels."""
    count = pixels.shape[-1]
    if count in (2, 4) and (pixels[..., -1] != pixels[..., -1].flat[0]).any():
        raise CytoCascadeError(
            "the image has a transparency (alpha) channel that varies",
            path=path,
            hint="Save it as a grey image without transparency.",
        )
    colours = pixels[..., : count - 1] if count in (2, 4) else pixels
    if count > 4 or (colours != colours[..., :1]).any():
        raise CytoCascadeError(
            f"the image is coloured ({count} channels that differ); one grey channel is needed",
            path=path,
            hint="Save the channel that shows the cells as a grey image.",
        )
    return np.ascontiguousarray(colours[..., 0])


def _as_intensities(path: Path, pixels: Array) -> Array:
    kind = pixels.dtype.kind
    if kind not in "uif":
        what = "only two values (1 bit); is it a mask?" if kind == "b" else f"pixels of type {pixels.dtype}"
        raise CytoCascadeError(
            f"the image has {what}", path=path, hint="Save it as 8-bit, 16-bit or 32-bit float grey values."
        )
    if kind == "f":
        bad = int(np.size(pixels) - np.isfinite(pixels).sum())
        if bad:
            raise CytoCascadeError(
                f"the image holds {bad} pixels that are NaN or infinite",
                path=path,
                hint="Replace them, for example by np.nan_to_num, or leave the image out.",
            )
        if np.abs(pixels).max(initial=0) > np.finfo(np.float32).max:
            raise CytoCascadeError("the image holds values beyond 32-bit float", path=path, hint="Rescale it.")
        return pixels.astype(np.float32)
    if pixels.dtype.itemsize == 1 and kind == "u":
        return pixels.astype(np.uint8)
    fits = pixels.size == 0 or (pixels.min() >= 0 and pixels.max() <= np.iinfo(np.uint16).max)
    return pixels.astype(np.uint16 if fits else np.float32)


def _as_labels(path: Path, pixels: Array) -> Array:
    kind = pixels.dtype.kind
    if kind not in "biu":
        whole = kind == "f" and bool((np.isfinite(pixels) & (pixels == np.floor(pixels))).all())
        problem = (
            f"the mask holds floating-point numbers ({pixels.dtype})"
            if whole
            else f"the mask holds {pixels.dtype} values that are no whole numbers, so no labels"
        )
        raise CytoCascadeError(problem, path=path, hint=_HOW_TO_SAVE_LABELS)
    if kind == "b":
        return pixels.astype(np.uint16)
    if pixels.size and int(pixels.min()) < 0:
        raise CytoCascadeError(
            f"the mask holds negative labels (down to {int(pixels.min())})",
            path=path,
            hint="Set them to 0 (background); with --sparse, background may hold unlabelled cells.",
        )
    highest = int(pixels.max(initial=0))
    if highest > np.iinfo(np.uint32).max:
        raise CytoCascadeError(
            f"the mask holds the label {highest}, above 2**32 - 1",
            path=path,
            hint="Renumber it, for example by skimage.segmentation.relabel_sequential.",
        )
    return pixels.astype(label_dtype(highest))
