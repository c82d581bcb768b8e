"""The physical pixel size that a TIFF file states."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tifffile

MICROMETRES = {
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer", "micrometers"), 1.0),
    **dict.fromkeys(("micrometre", "micrometres"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 1e4),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1e6),
    **dict.fromkeys(("pm", "picometer", "picometre"), 1e-6),
    **dict.fromkeys(("å", "angstrom"), 1e-4),
}
"""Micrometres per unit. Inches are missing on purpose: they state a print size, never a measurement."""

STATED_RANGE = (1e-4, 1e3)
"""Micrometres per pixel that OME-XML or ImageJ may state; anything outside is a writer's default."""

TAG_RANGE = (1e-3, 20.0)
"""Micrometres per pixel believed from bare resolution tags; 72 to 600 dpi in centimetres lie outside."""


def tiff_spacing(tif: tifffile.TiffFile, axes: str) -> tuple[float, ...] | None:
    """Return the pixel size that an open TIFF file states.

    Looked for, in this order: OME-XML, ImageJ metadata, tifffile's JSON description with OME's names, and
    resolution tags in centimetres.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The open file.
    axes : str
        Axes wanted, ``"YX"`` or ``"ZYX"``.

    Returns
    -------
    tuple of float or None
        Micrometres per pixel along `axes`; None if the size of any axis is unknown or absurd (72 dpi, a
        resolution without a unit), because half a size would be taken for a whole one.
    """
    if tif.is_ome:
        found = _from_ome(tif.ome_metadata)
    elif tif.is_imagej:
        found = _from_imagej(tif)
    elif tif.is_shaped and tif.shaped_metadata:
        found = _from_physical_size(tif.shaped_metadata[0]) or _from_tags(tif)
    else:
        found = _from_tags(tif)
    sizes = [found.get(axis) for axis in axes]
    known = [size for size in sizes if size is not None]
    return tuple(known) if len(known) == len(sizes) else None


def _believable(value: Any, unit: Any, limits: tuple[float, float]) -> float | None:
    factor = MICROMETRES.get(_clean_unit(unit))
    try:
        size = float(value) * (factor or math.nan)
    except (TypeError, ValueError):
        return None
    return size if limits[0] <= size <= limits[1] else None


def _clean_unit(unit: Any) -> str:
    # ImageJ writes the micro sign as a Java escape; some readers leave it so.
    return str(unit).replace("\\u00B5", "µ").replace("\\u00b5", "µ").strip().strip("\x00").lower()


def _keep_known(sizes: dict[str, float | None]) -> dict[str, float]:
    return {axis: size for axis, size in sizes.items() if size is not None}


def _from_physical_size(attributes: Any) -> dict[str, float]:
    default = attributes.get("unit", "µm")
    return _keep_known(
        {
            axis: _believable(
                attributes.get(f"PhysicalSize{axis}"),
                attributes.get(f"PhysicalSize{axis}Unit", default),
                STATED_RANGE,
            )
            for axis in "ZYX"
        }
    )


def _from_ome(xml: str | None) -> dict[str, float]:
    try:
        root = ElementTree.fromstring(xml or "")
    except ElementTree.ParseError:
        return {}
    pixels = next((node for node in root.iter() if node.tag.rpartition("}")[2] == "Pixels"), None)
    return {} if pixels is None else _from_physical_size(pixels.attrib)


def _from_imagej(tif: tifffile.TiffFile) -> dict[str, float]:
    metadata = tif.imagej_metadata or {}
    unit = metadata.get("unit")
    return _keep_known(
        {
            "Z": _believable(metadata.get("spacing"), metadata.get("zunit", unit), STATED_RANGE),
            "Y": _believable(_tag_size(tif, "YResolution"), metadata.get("yunit", unit), STATED_RANGE),
            "X": _believable(_tag_size(tif, "XResolution"), unit, STATED_RANGE),
        }
    )


def _from_tags(tif: tifffile.TiffFile) -> dict[str, float]:
    unit = tif.pages.first.tags.valueof("ResolutionUnit")
    if unit != 3:  # 3 = centimetre; 1 = none and 2 = inch say nothing about the specimen
        return {}
    return _keep_known({axis: _believable(_tag_size(tif, f"{axis}Resolution"), "cm", TAG_RANGE) for axis in "YX"})


def _tag_size(tif: tifffile.TiffFile, tag: str) -> float | None:
    """Return units per pixel from a resolution tag (pixels per unit as a fraction)."""
    value = tif.pages.first.tags.valueof(tag)
    if not isinstance(value, tuple) or len(value) != 2 or not value[0]:
        return None
    return float(value[1]) / float(value[0])


def lateral_spacing(path: Path) -> tuple[float, ...] | None:
    """Return micrometres per pixel (y, x) that a TIFF stack states, be its z step known or not."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    with tifffile.TiffFile(path) as tif:
        return tiff_spacing(tif, "YX")
