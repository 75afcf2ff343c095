"""Injected faults, for tests: the files in the folder MNIST_BATCH_FAILPOINTS say which fault happens at which point.

The name of a file is a point, its text an action of ``ACTIONS``. The file is renamed when the fault fires, so that it
fires once among all processes, unless its text ends in ``always``.
"""

import errno
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

FOLDER = os.environ.get("MNIST_BATCH_FAILPOINTS")


def reach(point: str, path: bytes = b"") -> None:
    """Fire the fault that is armed for this point, or for this point and the name of the file at ``path``, if any."""
    if FOLDER is None:
        return
    name = f"{point} {os.path.basename(os.fsdecode(path))}".rstrip()
    armed = Path(FOLDER, name.replace("/", "_"))
    try:
        action, *always = armed.read_text().split()
        if not always:
            armed.rename(armed.with_name(f"{armed.name}.fired"))
    except FileNotFoundError:
        return
    ACTIONS[action](armed)


def _kill(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _exit(_: Path) -> None:
    os._exit(1)


def _loop(_: Path) -> None:
    while True:
        pass


def _late(_: Path) -> None:
    """Loop until the limit on a scan's time ends this process, of which nearly all has passed at once."""
    if signal.getitimer(signal.ITIMER_REAL)[0]:  # without a limit it loops without end
        signal.setitimer(signal.ITIMER_REAL, 0.05)
    _loop(_)


def _allocate(_: Path) -> None:
    taken = []
    while True:
        taken.append(bytes(2**26))


def _hold(armed: Path) -> None:
    while armed.with_name(f"{armed.name}.fired").exists():
        time.sleep(0.05)  # until the test deletes the file; it runs in another process and cannot wake this one


def _fail(number: int) -> Callable[[Path], None]:
    def raise_it(_: Path) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return raise_it


ACTIONS: Mapping[str, Callable[[Path], None]] = {
    "kill": _kill,
    "exit": _exit,
    "loop": _loop,
    "late": _late,
    "allocate": _allocate,
    "hold": _hold,
    "no_space": _fail(errno.ENOSPC),
    "io_error": _fail(errno.EIO),
}
