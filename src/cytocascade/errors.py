"""The one error that users are meant to read."""

from __future__ import annotations

from pathlib import Path


class CytoCascadeError(ValueError):
    """Bad input or an impossible request, told in words a user can act on.

    The command line prints it without a traceback and exits with code 2.

    Parameters
    ----------
    problem : str
        What is wrong.
    path : path-like, optional
        The file or folder that is wrong.
    hint : str, optional
        What to do about it.
    """

    def __init__(self, problem: str, *, path: str | Path | None = None, hint: str | None = None) -> None:
        self.problem = problem
        self.path = None if path is None else Path(path)
        self.hint = hint
        text = problem if path is None else f"{path}: {problem}"
        super().__init__(text if hint is None else f"{text}\n{hint}")
