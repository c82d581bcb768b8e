"""What the tests of commands share: one clear error, and a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable


def expect_one_error(result: tuple[int, str, str], *texts: object) -> None:
    """Check that a command ended with one error that holds `texts`, and without a traceback."""
    code, stdout, stderr = result
    assert code == 2, stderr
    assert stderr.count("Error:") == 1
    assert "Traceback" not in stdout + stderr
    for text in texts:
        assert str(text) in stderr


def kill_when(command: list[str], ready: Callable[[], bool]) -> None:
    """Start a command and kill it, without a chance to clean up, as soon as `ready`."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 600
        while not ready():
            assert process.poll() is None, "the command ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
