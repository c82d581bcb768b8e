"""The app that commands are added to, and how it speaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

app = typer.Typer(
    name="cytocascade",
    help="A handful of annotated cells in, any number of annotated, realistic microscopy images out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
console = Console(stderr=True, highlight=False)


def progress_bar() -> Progress:
    """Return a progress bar for the terminal."""
    return Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[remark]}"),
        console=console,
    )


@contextmanager
def stages() -> Iterator[Callable[[str, int, int, str], None]]:
    """Show one bar per stage; yield what is called with (stage, done, in all, remark)."""
    with progress_bar() as bar:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int, remark: str) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total, remark="")
            bar.update(tasks[stage], completed=done, total=total, remark=remark)

        yield report
