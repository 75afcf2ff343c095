"""What a command and all processes that it begins take: seconds, CPU seconds, memory."""

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import psutil

from tests.support.processes import family

EVERY_SECONDS = 0.5
MEMORY_EVERY = 10  # of these looks, from the third on: adding up shared pages takes the kernel a while


@dataclass(frozen=True)
class Usage:
    """What a command took, in all and by the command lines of its processes.

    Memory is the largest sum of its processes' proportional set sizes seen, in MB.
    """

    seconds: float
    cpu_seconds: float
    peak_megabytes: float
    driver_megabytes: float
    first_seconds: float
    by_process: Mapping[str, float]

    def totals(self) -> dict[str, float]:
        """All but what the single processes took."""
        return {name: value for name, value in vars(self).items() if name != "by_process"}


def measured(command: Sequence[str], log: Path, out: Path) -> Usage:
    """Run a command and look at its processes until it ends; RuntimeError, with what it said, where it fails.

    ``first_seconds`` is when there was a Parquet file, or a staged part, below ``out``. A process that ends between
    two looks is missed.
    """
    started, looks, first_seconds = time.monotonic(), 0, None
    cpu: dict[tuple[int, float], float] = {}
    named: dict[tuple[int, float], str] = {}
    peak, driver = 0.0, 0.0
    with log.open("wb") as said:
        job = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)  # noqa: S603
        while job.poll() is None:
            together = 0.0
            for process in family(job.pid):
                with suppress(psutil.Error):
                    own, times = (process.pid, process.create_time()), process.cpu_times()
                    # Ray's workers change their names as they go; a process has none while it ends.
                    named[own] = " ".join(process.cmdline()) or named.get(own, "")
                    cpu[own] = times.user + times.system
                    if looks % MEMORY_EVERY == 2:
                        size = process.memory_full_info().pss / 1e6
                        together += size
                        driver = max(driver, size) if process.pid == job.pid else driver
            peak = max(peak, together)
            if first_seconds is None and any(chain(out.rglob("*.parquet"), out.rglob("parts/part-*"))):
                first_seconds = time.monotonic() - started
            looks += 1
            time.sleep(EVERY_SECONDS)  # looking without a pause would take a core from what is measured
    seconds = time.monotonic() - started
    if job.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {job.returncode}:\n{log.read_text()[-2000:]}")
    by_process: defaultdict[str, float] = defaultdict(float)
    for process, taken in cpu.items():
        by_process[named[process]] += taken
    return Usage(seconds, sum(by_process.values()), peak, driver, first_seconds or seconds, by_process)


def module(name: str, *arguments: str) -> list[str]:
    """The command line of a module of this environment."""
    return [sys.executable, "-m", name, *arguments]
