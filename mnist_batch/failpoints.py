"""Faults on purpose, for tests: where MNIST_BATCH_FAILPOINTS names a folder, the files in it say what goes wrong where.

A file named for a point holds an action of ``ACTIONS``; it is taken away when it fires, so that it fires once
among all processes, unless its text ends in ``always``.
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
    """Do what is set for this point, or for the file that it is at; nothing where nothing is."""
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


def _allocate(_: Path) -> None:
    taken = []
    while True:
        taken.append(bytes(2**26))


def _hold(armed: Path) -> None:
    while armed.with_name(f"{armed.name}.fired").exists():
        time.sleep(0.05)  # until the test takes the file away: another process, which has nothing else to wake this one


def _fail(number: int) -> Callable[[Path], None]:
    def raise_it(_: Path) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return raise_it


ACTIONS: Mapping[str, Callable[[Path], None]] = {
    "kill": _kill,
    "exit": _exit,
    "loop": _loop,
    "allocate": _allocate,
    "hold": _hold,
    "no_space": _fail(errno.ENOSPC),
    "io_error": _fail(errno.EIO),
}
