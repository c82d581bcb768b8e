"""The data card: a README that tells a stranger what the data set is and how to use it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cytocascade.export.base import Record, dimension
from cytocascade.export.registry import get_exporters
from cytocascade.export.settings import DatasetSettings

_EXCERPT_LINES = 40


def data_card(
    records: Sequence[Record],
    settings: DatasetSettings,
    bundle_card: str = "",
    *,
    licence: str = "",
    command: str | None = None,
) -> str:
    """Return the Markdown data card of a data set; the same arguments always give the same text.

    Parameters
    ----------
    records : sequence of mapping
        The manifest (``shape``, ``dtype``, ``spacing``, ``spacing_known``, ``cells`` are read).
    settings : DatasetSettings
        What was asked for.
    bundle_card : str
        Markdown card of the bundle; its beginning is quoted.
    licence : str
        Note on the licence of the data.
    command : str, optional
        Command that generates the data set; put together from `settings` by default.
    """
    parts = [
        _head(settings, _is_3d(records, settings)),
        _facts(records, settings),
        _cells(records),
        _loading(records, settings),
        _again(settings, command or generate_command(settings)),
        _bundle(settings, bundle_card),
        f"## Licence\n\n{licence.strip() or 'Not stated.'}\n",
    ]
    return "\n".join(part for part in parts if part)


def generate_command(settings: DatasetSettings) -> str:
    """Return the ``cytocascade generate`` command that `settings` stand for."""
    options: dict[str, Any] = {
        "bundle": settings.bundle_name,
        "count": settings.count,
        "seed": settings.seed,
        "format": ",".join(settings.formats),
        "out": "DIR",
    }
    if settings.size is not None:
        if len(settings.size) == 3:
            options["dim"] = 3
        options["size"] = "x".join(map(str, settings.size))
    if settings.test_fraction:
        options["test-fraction"] = settings.test_fraction
    if settings.slice_step is not None:
        options["slice-step"] = settings.slice_step
    options |= {key.replace("_", "-"): value for key, value in sorted(settings.overrides.items())}
    words = ["cytocascade generate"]
    for key, value in options.items():
        if value is True:
            words.append(f"--{key}")
        elif value is not None and value is not False:
            words.append(f"--{key} {shlex.quote(str(value))}")
    return " ".join(words)


def _is_3d(records: Sequence[Record], settings: DatasetSettings) -> bool:
    """Return whether the samples are volumes; a data set without samples tells by the size asked for."""
    return dimension(records) == 3 or (not records and len(settings.size or ()) == 3)


def _head(settings: DatasetSettings, volumes: bool) -> str:
    if volumes:
        return f"""\
# Synthetic microscopy volumes of cells, with instance labels

No volume here was taken with a microscope. CytoCascade {settings.version} generated {settings.count} annotated
volumes from the bundle `{settings.bundle_name}`: shapes, textures, arrangement, background and noise are
drawn anew. Labels are the cells' true geometry on the voxel grid; axes are (Z, Y, X).
"""
    return f"""\
# Synthetic microscopy images of cells, with instance labels

No image here was taken with a microscope. CytoCascade {settings.version} generated {settings.count} annotated
images from the bundle `{settings.bundle_name}`: outlines, textures, arrangement, background and noise are
drawn anew.
"""


def _facts(records: Sequence[Record], settings: DatasetSettings) -> str:
    things, pixel = ("volumes", "voxel") if _is_3d(records, settings) else ("images", "pixel")
    rows = {
        things.capitalize(): str(len(records)),
        "Cells": str(sum(len(record["cells"]) for record in records)),
        f"Size ({pixel}s)": _listing((_size(record) for record in records), things),
        f"{pixel.capitalize()} type": _listing((str(record["dtype"]) for record in records), things),
        f"Spacing (µm per {pixel})": _listing((_spacing(record) for record in records), things),
        "Formats": ", ".join(f"`{name}`" for name in settings.formats),
        "Seed": str(settings.seed),
        "Bundle": f"`{settings.bundle_name}`, SHA-256 `{settings.bundle_hash}`",
        "CytoCascade": settings.version,
    }
    return "| | |\n|---|---|\n" + "".join(f"| {key} | {value} |\n" for key, value in rows.items())


def _listing(values: Iterable[str], things: str) -> str:
    """Return distinct values, each with its number of images or volumes if there are several."""
    counts = Counter(values)
    if len(counts) <= 1:
        return next(iter(counts), "-")
    return ", ".join(f"{value} ({counts[value]} {things})" for value in sorted(counts))


def _size(record: Record) -> str:
    axes = "Z x Y x X" if len(record["shape"]) == 3 else "Y x X"
    return f"{' x '.join(map(str, record['shape']))} ({axes})"


def _spacing(record: Record) -> str:
    if not record["spacing_known"]:
        return "unknown"
    size = " x ".join(f"{size:.6g}" for size in record["spacing"])
    return f"{size} (Z x Y x X)" if len(record["spacing"]) == 3 else size


def _cells(records: Sequence[Record]) -> str:
    if not records:
        return ""
    counts = np.array([len(record["cells"]) for record in records])
    low, first, middle, third, high = (f"{value:g}" for value in np.percentile(counts, [0, 25, 50, 75, 100]))
    text = f"""\
## Cells per {"volume" if dimension(records) == 3 else "image"}

Smallest {low}, lower quartile {first}, median {middle}, upper quartile {third}, largest {high}.

```text
{_histogram(counts)}
```
"""
    placements = Counter(
        str(cell["placement"]) for record in records for cell in record["cells"] if cell.get("placement")
    )
    if placements:
        total = placements.total()
        shares = (f"{name} {100 * placements[name] / total:.1f} %" for name in sorted(placements))
        text += f"\nPlacement: {', '.join(shares)}.\n"
    return text


def _histogram(counts: Any, bins: int = 8, width: int = 40) -> str:
    """Return a bar per interval of cell counts."""
    low, high = int(counts.min()), int(counts.max())
    step = max(1, -(-(high - low + 1) // bins))
    lines = []
    heights = np.bincount((counts - low) // step)
    for position, height in enumerate(heights):
        begin = low + position * step
        span = f"{begin}" if step == 1 else f"{begin}-{begin + step - 1}"
        bar = "#" * max(int(height > 0), round(width * int(height) / int(heights.max())))
        lines.append(f"{span:>13} |{bar} {height}".rstrip())
    return "\n".join(lines)


def _loading(records: Sequence[Record], settings: DatasetSettings) -> str:
    exporters = get_exporters(
        ",".join(settings.formats), test_fraction=settings.test_fraction, slice_step=settings.slice_step
    )
    text = "## How to load it\n\nPaths are relative to this folder.\n"
    for exporter in exporters:
        folder = "" if len(exporters) == 1 else f"{exporter.name}/"
        text += f"\n### {exporter.name}\n\n{exporter.usage(folder, records)}"
    return text


def _again(settings: DatasetSettings, command: str) -> str:
    return f"""\
## How to make it again

```bash
{command}
```

With this bundle and this version every byte is the same. Sample i depends on the seed and on i only.
`manifest.jsonl` lists, per sample, seed, drawn parameters, files and SHA-256 of the arrays, and per cell its
label, placement and features. One sample alone, here the first, is made again by (a bundle of your own is given by its
folder)

```bash
cytocascade replay 'manifest.jsonl#0' --bundle {settings.bundle_name} --out again
```
"""


def _bundle(settings: DatasetSettings, bundle_card: str) -> str:
    """Return the beginning of the bundle's card as a quotation."""
    lines = bundle_card.strip().splitlines()
    if lines and lines[0] == "---" and "---" in lines[1:]:  # metadata of a model hub
        lines = lines[lines.index("---", 1) + 1 :]
    if not lines:
        return ""
    cut = len(lines) > _EXCERPT_LINES
    quoted = "".join(f"> {line}".rstrip() + "\n" for line in lines[:_EXCERPT_LINES])
    rest = f">\n> (The card of the bundle has {len(lines) - _EXCERPT_LINES} more lines.)\n" if cut else ""
    return f"## The bundle `{settings.bundle_name}`\n\nFrom its card:\n\n{quoted}{rest}"
