"""Work side by side, with the result that one process alone would give."""

import pytest
import torch

from cytocascade.benefit.crew import in_processes


def square(number: int, offset: int, report) -> tuple[int, int]:
    report("squares", number, 10, "")
    return number * number + offset, torch.get_num_threads()


def fail(number: int, report) -> int:
    raise ValueError(f"number {number}")


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
