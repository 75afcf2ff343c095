"""One process at a time, by locks that the operating system frees when a process dies."""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pyarrow import fs

from mnist_batch.errors import InputError, Locked, StorageError
from mnist_batch.store import locations, retry

log = logging.getLogger(__name__)


@contextmanager
def locked(filesystem: fs.FileSystem, path: str, what: str) -> Iterator[None]:
    """Hold the lock that a file is, which says who holds it; raises Locked, telling that, where another process does.

    Works on local disks, and on network disks that know flock. At a store behind a URI, which has no locks,
    nothing keeps a second process out. Raises InputError where the file cannot be made, or no file at a store.
    """
    if not locations.is_disk(filesystem):
        try:
            with retry.patience(0):
                locations.check_writable(filesystem, path.rpartition("/")[0])
        except (InputError, StorageError) as error:
            raise InputError(f"--out cannot be written to: {error}") from None
        yield
        return
    lock = Path(path)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        taken = _taken(lock, what)
    except OSError as error:
        raise InputError(
            f"--out: {lock.parent} cannot be written to ({error}); choose where this job may write"
        ) from None
    with taken as file:
        file.seek(0)
        if holder := file.read():
            log.warning("the lock of %s was left by %s, which is gone: taken over", what, holder)
        with suppress(OSError):  # on a full disk it is a lock all the same
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
        try:
            yield
        finally:
            with suppress(OSError):  # which would hide how the work ended
                lock.unlink()


def _taken(path: Path, what: str) -> IO[str]:
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read()
            file.close()
            raise Locked(f"{what} is being made by {holder}; wait for it to end") from None
        # Its last holder may have taken the file away after it was opened here, and another one begun.
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()
