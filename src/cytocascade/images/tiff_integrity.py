"""Whether a TIFF file is as long as it says it is.

Decoders read a cut multi-page file without complaint as a shorter stack, or as one plane. This walks the
chain of page directories and compares every offset with the length of the file.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

import tifffile


def missing_bytes(path: Path, tif: tifffile.TiffFile) -> str | None:
    """Return what is missing at the end of an open TIFF file, in words, or None if it is whole.

    Parameters
    ----------
    path : Path
        The file.
    tif : tifffile.TiffFile
        The same file, opened.
    """
    length = path.stat().st_size
    with path.open("rb") as stream:
        pages = _count_directories(stream, length)
    if pages is None:
        return "its list of pages ends beyond the end of the file"
    series = tif.series[0]
    if series.dataoffset is not None and series.dataoffset + series.nbytes > length:
        return f"{series.dataoffset + series.nbytes - length} bytes of pixels are missing"
    for number, page in enumerate(tif.pages):
        segments = math.prod(page.chunked)
        if series.dataoffset is None and len(page.databytecounts) < segments:  # decoders would fill them with zeros
            return f"page {number + 1} has {len(page.databytecounts)} of {segments} strips or tiles"
        ends = (start + count for start, count in zip(page.dataoffsets, page.databytecounts))
        if max(ends, default=0) > length:
            return f"pixels of page {number + 1} lie beyond the end of the file"
    return None


def _count_directories(stream: BinaryIO, length: int) -> int | None:
    """Return the number of page directories; None if the chain leads out of the file or in a circle."""
    header = stream.read(16)
    order = "<" if header[:2] == b"II" else ">"
    big = struct.unpack(order + "H", header[2:4])[0] == 43
    counter, entry, pointer = ("Q", 20, "Q") if big else ("H", 12, "I")
    offset = struct.unpack(order + pointer, header[8:16] if big else header[4:8])[0]
    seen: set[int] = set()
    while offset:
        if offset in seen or offset >= length:
            return None
        seen.add(offset)
        stream.seek(offset)
        entries = _read_number(stream, order + counter)
        if entries is None:
            return None
        stream.seek(offset + struct.calcsize(order + counter) + entries * entry)
        following = _read_number(stream, order + pointer)
        if following is None:
            return None
        offset = following
    return len(seen)


def _read_number(stream: BinaryIO, code: str) -> int | None:
    data = stream.read(struct.calcsize(code))
    return int(struct.unpack(code, data)[0]) if len(data) == struct.calcsize(code) else None
