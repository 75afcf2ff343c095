"""Temporary folders, locked while their process lives: what a killed process left is removed by the next one."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def folder(prefix: str) -> Iterator[Path]:
    """A folder in the folder for temporary files, removed at the end of the context; so are those left behind."""
    parent = Path(tempfile.gettempdir())
    remove_left_behind(parent, prefix)
    made, lock = locked_folder(parent, prefix)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def locked_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    """Make a folder whose name begins with ``prefix``, and return it with the descriptor that locks it while open."""
    unlocked = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=parent))  # nobody looks for it by this name
    lock = os.open(unlocked, os.O_RDONLY)
    with suppress(OSError):  # without locks, nobody removes what is left behind
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return unlocked.rename(unlocked.with_name(unlocked.name[1:])), lock


def remove_left_behind(parent: Path, prefix: str, kept_seconds: float = 0) -> None:
    """Remove the folders of this user that no living process has locked, once they were kept for so long."""
    for left in parent.glob(f"{prefix}*"):
        with suppress(OSError):  # locked by a living process, or being removed by another one
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                about = os.fstat(lock)
                if about.st_uid == os.geteuid() and time.time() - about.st_mtime >= kept_seconds:
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)
