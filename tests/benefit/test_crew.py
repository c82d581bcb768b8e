"""Work side by side, with the result that one process alone would give."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cytocascade.benefit.crew import in_processes


def square(number: int, offset: int, report) -> tuple[int, int]:
    report("squares", number, 10, "")
    return number * number + offset, torch.get_num_threads()


def fail(number: int, report) -> int:
    raise ValueError(f"number {number}")


def tell_and_wait(folder: Path, number: int, report) -> None:
    (folder / f"{number}.tmp").write_text(str(os.getpid()))
    (folder / f"{number}.tmp").rename(folder / f"{number}.pid")
    time.sleep(120)


def nothing(*_: object) -> None:
    return None


def test_tasks_give_the_same_in_one_process_and_in_two():
    tasks = [(number,) for number in range(4)]
    alone = list(in_processes(tasks, square, (7,), workers=1, report=nothing))
    together = list(in_processes(tasks, square, (7,), workers=2, report=nothing))
    assert alone == [(7, 1), (8, 1), (11, 1), (16, 1)]
    assert sorted(together) == alone


def test_reports_of_other_processes_arrive():
    heard = []
    list(in_processes([(1,), (2,)], square, (0,), workers=2, report=lambda *what: heard.append(what)))
    assert sorted(heard) == [("squares", 1, 10, ""), ("squares", 2, 10, "")]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_task_reaches_the_caller(workers):
    with pytest.raises(ValueError, match="number"):
        list(in_processes([(1,), (2,)], fail, (), workers=workers, report=nothing))


def test_no_task_is_begun_once_the_time_is_up():
    answers = iter([True, False])
    done = list(
        in_processes(
            [(1,), (2,), (3,)], square, (0,), workers=1, report=nothing, may_start=lambda: next(answers, False)
        )
    )
    assert len(done) == 1


def test_processes_end_with_the_one_that_began_them(tmp_path: Path):
    script = tmp_path / "long_work.py"
    script.write_text(
        "from pathlib import Path\n"
        "from cytocascade.benefit.crew import in_processes\n"
        "from benefit.test_crew import nothing, tell_and_wait\n"
        "if __name__ == '__main__':\n"
        f"    tasks = [(Path({str(tmp_path)!r}), number) for number in range(2)]\n"
        "    list(in_processes(tasks, tell_and_wait, (), workers=2, report=nothing))\n"
    )
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    parent = subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.DEVNULL)
    try:
        _until(lambda: len(list(tmp_path.glob("*.pid"))) == 2, seconds=120)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    workers = [int(file.read_text()) for file in tmp_path.glob("*.pid")]
    assert len(workers) == 2
    _until(lambda: not any(map(_runs, workers)), seconds=30)


def _until(done, *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "this took too long"
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended and whose new parent has not asked how is still listed.
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
