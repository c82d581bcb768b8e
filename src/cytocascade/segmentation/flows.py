"""Cellpose's training targets, computed once per label image and kept on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cytocascade.storage import write_atomically
from cytocascade.types import Array


class FlowCache:
    """Flows by the content of the label image.

    Parameters
    ----------
    folder : Path or None
        Where they are kept; nothing is kept without.
    version : str
        Version of Cellpose: others may compute other flows.
    """

    def __init__(self, folder: Path | None, version: str) -> None:
        self._folder = folder
        self._version = version
        self._known: dict[str, NDArray[np.float16]] = {}

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
        key = self._key(labels)
        if key not in self._known:
            self._known[key] = self._load(key, labels)
        cells = (labels > 0).astype(np.float32)
        return np.concatenate([cells[None], cells[None], self._known[key].astype(np.float32)])

    def _key(self, labels: Array) -> str:
        digest = hashlib.sha256(f"{self._version} {labels.shape} {labels.dtype.str}".encode())
        digest.update(np.ascontiguousarray(labels).data)
        return digest.hexdigest()[:32]

    def _load(self, key: str, labels: Array) -> NDArray[np.float16]:
        if self._folder is None:
            return _flows(labels)
        file = self._folder / f"{key}.npy"
        if file.exists():
            try:
                return np.asarray(np.load(file, allow_pickle=False), dtype=np.float16)
            except (ValueError, OSError):
                file.unlink(missing_ok=True)
        flows = _flows(labels)
        write_atomically(file, lambda temporary: _save(temporary, flows))
        return flows


def _save(path: Path, flows: NDArray[np.float16]) -> None:
    with path.open("wb") as file:
        np.save(file, flows, allow_pickle=False)


def _flows(labels: Array) -> NDArray[np.float16]:
    """Return the flow along y and x, (2, Y, X), unit vectors within cells."""
    from cellpose import dynamics

    if not labels.any():
        return np.zeros((2, *labels.shape), dtype=np.float16)
    found = dynamics.masks_to_flows(labels.astype(np.int64), device=torch.device("cpu"))
    return np.asarray(found, dtype=np.float16)
