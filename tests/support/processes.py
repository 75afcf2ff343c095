"""Which processes a job has begun; the benchmarks look at them, too."""

from contextlib import suppress

import psutil


def family(process: int) -> list[psutil.Process]:
    """A process and all that it has begun, by now."""
    try:
        root = psutil.Process(process)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def descendants(job: int) -> list[tuple[int, str]]:
    """The processes that a job has begun, and itself, with their command lines."""
    found = []
    for process in family(job):
        with suppress(psutil.Error):  # it has ended since
            found.append((process.pid, " ".join(process.cmdline())))
    return found
