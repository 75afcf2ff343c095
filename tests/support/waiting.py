"""Waiting for what another process or thread does."""

import subprocess
import time
from collections.abc import Callable
from typing import Any

DEADLINE_SECONDS = 240  # below the 300 seconds of a test, so that what never came is named; no machine is that slow
PAUSE_SECONDS = 0.02  # between two looks: without one they would take a core from what is waited for


def until(
    condition: Callable[[], Any],
    what: str,
    job: subprocess.Popen[Any] | None = None,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> Any:
    """Wait for a condition, and return its first true value.

    Fails, naming ``what`` never came, at the deadline, and as soon as ``job`` ends without it, with what the job
    printed.
    """
    end = time.monotonic() + deadline_seconds
    while not (value := condition()):
        if job is not None and job.poll() is not None:
            if value := condition():  # between the two looks, and then the job ended
                return value
            printed = "" if job.stdout is None and job.stderr is None else f": {job.communicate()}"
            raise AssertionError(f"the job ended with {job.returncode} before {what}{printed}")
        assert time.monotonic() < end, f"in {deadline_seconds:g} seconds this never came: {what}"
        time.sleep(PAUSE_SECONDS)
    return value
