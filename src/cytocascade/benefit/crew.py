"""Several processes that make images and train segmenters side by side, each on one core, whatever their number."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any, TypeVar

import torch

from cytocascade.diffusion.sampling import single_threaded_torch

Result = TypeVar("Result")
Report = Callable[[str, int, int, str], None]
"""Called with (what is worked on, done, in all, remark)."""

_POLL_SECONDS = 0.5

_messages: Any = None


def in_processes(
    tasks: Sequence[tuple[Any, ...]],
    work: Callable[..., Result],
    shared: tuple[Any, ...],
    *,
    workers: int,
    report: Report,
    may_start: Callable[[], bool] = lambda: True,
) -> Iterator[Result]:
    """Yield ``work(*task, *shared, report)`` for every task, in the order in which they are done.

    Every task is computed on one thread, so that its result does not depend on the number of processes.

    Parameters
    ----------
    tasks : sequence of tuple
        Arguments of each task.
    work : callable
        A function of a module; its last argument is a `Report`.
    shared : tuple
        Arguments that all tasks have in common; they are sent to every process once.
    workers : int
        Processes; with 1, all is done in this one.
    report : callable
        Receives the reports of all processes.
    may_start : callable
        Asked before each task; once it says no, no further task is begun.
    """
    if workers == 1 or len(tasks) < 2:
        for task in tasks:
            if not may_start():
                return
            with single_threaded_torch():
                result = work(*task, *shared, report)
            yield result
        return
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=context, initializer=_begin, initargs=(messages, work, shared)
    )
    waiting = list(reversed(tasks))
    running: set[Future[Result]] = set()
    try:
        while waiting or running:
            while waiting and len(running) < workers and may_start():
                running.add(pool.submit(_do, waiting.pop()))
            if not running:
                break
            done, running = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            _pass_on(messages, report)
            for future in done:
                yield future.result()
        # Processes send all that they have to say before they end.
        pool.shutdown(wait=True)
        _pass_on(messages, report)
    except BaseException:
        _stop(pool)
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


_task: tuple[Callable[..., Any], tuple[Any, ...]] | None = None


def _begin(messages: Any, work: Callable[..., Any], shared: tuple[Any, ...]) -> None:
    global _messages, _task
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _messages, _task = messages, (work, shared)


def _end_with_parent() -> None:
    """End this process when the one that began it is gone, killed perhaps: nobody would get its results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _do(task: tuple[Any, ...]) -> Any:
    assert _task is not None
    work, shared = _task
    return work(*task, *shared, _send)


def _send(*message: Any) -> None:
    _messages.put(message)


def _pass_on(messages: Any, report: Report) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            report(*messages.get_nowait())


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the processes at once: what they have finished is on disk, and trainings go on from their checkpoints."""
    for process in list((pool._processes or {}).values()):
        process.terminate()
