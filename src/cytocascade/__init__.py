"""CytoCascade: annotated microscopy images synthesised from a handful of annotated cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.3.0"

if TYPE_CHECKING:
    from cytocascade.cascade import Cascade
    from cytocascade.errors import CytoCascadeError
    from cytocascade.images import read_dataset, read_stacks

__all__ = ["Cascade", "CytoCascadeError", "__version__", "read_dataset", "read_stacks"]

_HOMES = {
    "Cascade": "cytocascade.cascade",
    "CytoCascadeError": "cytocascade.errors",
    "read_dataset": "cytocascade.images",
    "read_stacks": "cytocascade.images",
}


def __getattr__(name: str) -> Any:
    # Importing torch takes seconds; `cytocascade --help` should not wait for it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
