"""The command line: the only place that prints."""

from __future__ import annotations

import logging
import sys

from cytocascade.cli import benefit, evaluating, fitting, generating, masking, shaping
from cytocascade.cli.terminal import app, console
from cytocascade.errors import CytoCascadeError

__all__ = ["app", "main"]

# Importing the commands adds them to the app; this is their order in the help.
_COMMANDS = (fitting, generating, shaping, masking, evaluating, benefit)


def main() -> None:
    """Run the command line; bad input ends with one clear error and exit code 2."""
    # Damaged files are reported by our own errors.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        app()
    except CytoCascadeError as error:
        _complain(str(error))
        sys.exit(2)
    except SystemExit as stop:
        # What typer makes of Ctrl-C, without a word.
        if stop.code == 130:
            _complain("interrupted; give the same command again to continue")
        raise
    except OSError as error:
        _complain(f"{error.filename or 'file'}: {error.strerror or error}")
        sys.exit(2)


def _complain(message: str) -> None:
    console.print("[bold red]Error:[/] ", end="")
    console.print(message, markup=False, soft_wrap=True)
