"""Cellpose's training targets, computed once per label image and kept on disk."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.measure import label as connected_regions

from cytocascade.segmentation.cellpose_network import cellpose_module
from cytocascade.storage import write_atomically
from cytocascade.types import Array

MOST_BYTES = 64 * 2**20
"""Flows that are held in memory, beside those on disk: these are read in less time than their crops are turned."""

_ALGORITHM = 2
"""Raised when flows are computed in another way, so that kept ones of before are passed over."""


class FlowCache:
    """Flows by the content of the label image.

    Parameters
    ----------
    folder : Path or None
        Where all are kept. Without, all are held in memory.
    version : str
        Version of Cellpose: others may compute other flows.
    most_bytes : int
        With a folder: memory for the flows used last.
    """

    def __init__(self, folder: Path | None, version: str, *, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._version = version
        self._most_bytes = most_bytes
        self._known: OrderedDict[str, NDArray[np.float16]] = OrderedDict()
        self._bytes = 0

    @property
    def bytes_held(self) -> int:
        """Return the memory that flows take up now."""
        return self._bytes

    def targets(self, labels: Array) -> NDArray[np.float32]:
        """Return Cellpose's training target of a label image.

        Parameters
        ----------
        labels : ndarray of unsigned integers, (Y, X)
            0 is background.

        Returns
        -------
        ndarray of float32, (4, Y, X)
            Cells (0 or 1, twice, as Cellpose's augmentation wants it), and the flow along y and x.
        """
        targets = np.empty((4, *labels.shape), dtype=np.float32)
        targets[:2] = labels > 0
        targets[2:] = self._flows_of(labels)
        return targets

    def _flows_of(self, labels: Array) -> NDArray[np.float16]:
        key = self._key(labels)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        flows = self._load(key, labels)
        self._known[key] = flows
        self._bytes += flows.nbytes
        while self._folder is not None and self._bytes > self._most_bytes and len(self._known) > 1:
            self._bytes -= self._known.popitem(last=False)[1].nbytes
        return flows

    def _key(self, labels: Array) -> str:
        digest = hashlib.sha256(f"{_ALGORITHM} {self._version} {labels.shape} {labels.dtype.str}".encode())
        digest.update(np.ascontiguousarray(labels).data)
        return digest.hexdigest()[:32]

    def _load(self, key: str, labels: Array) -> NDArray[np.float16]:
        if self._folder is None:
            return label_flows(labels)
        file = self._folder / f"{key}.npy"
        kept = _kept(file, (2, *labels.shape))
        if kept is not None:
            return kept
        flows = label_flows(labels)
        write_atomically(file, lambda temporary: _save(temporary, flows))
        return flows


def label_flows(labels: Array) -> NDArray[np.float16]:
    """Return Cellpose's flows: inside cells, unit vectors that lead along the cell to its middle.

    A cell of several pieces (cut by the edge of a window, say) has a middle in each of them: Cellpose's diffusion does
    not cross gaps and would leave all pieces but one without a flow.

    Parameters
    ----------
    labels : ndarray of unsigned integers, (Y, X)
        0 is background.

    Returns
    -------
    ndarray of float16, (2, Y, X)
        Along y and x; 0 outside cells.
    """
    if not labels.any():
        return np.zeros((2, *labels.shape), dtype=np.float16)
    pieces = np.asarray(connected_regions(labels, connectivity=2), dtype=np.int64)
    found = cellpose_module("dynamics").masks_to_flows(pieces, device=torch.device("cpu"))
    return np.asarray(found, dtype=np.float16)


def _kept(file: Path, shape: tuple[int, ...]) -> NDArray[np.float16] | None:
    """Return what `_save` wrote; None if there is nothing, or only remains of it."""
    try:
        flows = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return flows if flows.shape == shape and flows.dtype == np.float16 else None


def _save(path: Path, flows: NDArray[np.float16]) -> None:
    with path.open("wb") as file:
        np.save(file, flows, allow_pickle=False)
