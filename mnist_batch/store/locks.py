"""Locks that let one process at a time work on something.

On a disk the operating system frees them when the process dies; at a store they are leases.
"""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mnist_batch.errors import InputError, Locked, StorageError
from mnist_batch.store import changing, conditional, leases, locations, retry

log = logging.getLogger(__name__)


@contextmanager
def locked(location: str, path: str, what: str) -> Iterator[None]:
    """Hold an exclusive lock on the file at ``path``, which names its holder; ``what`` is the noun for messages.

    ``path`` is below ``location``, as ``locations.resolve`` gives it. Works on local disks, on network disks that
    support flock, and at stores with a lease. Raises Locked with the holder's name if another process has the lock, and
    InputError if the file cannot be created, or nothing can be written at the store.
    """
    filesystem = locations.resolve(location)[0]
    if not locations.is_disk(filesystem):
        try:
            with retry.patience(0):
                changing.check_writable(filesystem, path.rpartition("/")[0])
        except (InputError, StorageError) as error:
            raise InputError(f"--out cannot be written to: {error}") from None
        with leases.held(conditional.at(location), path, what):
            yield
        return
    lock = Path(path)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        taken = _taken(lock, what)
    except OSError as error:
        raise InputError(
            f"--out: {lock.parent} cannot be written to ({error}); choose a folder that this job may write to"
        ) from None
    with taken as file:
        file.seek(0)
        if holder := file.read():
            log.warning("the lock of %s was left by %s, which has ended: this job takes it over", what, holder)
        with suppress(OSError):  # on a full disk the lock holds even without its holder's name
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
        try:
            yield
        finally:
            with suppress(OSError):  # an error here would hide how the work ended
                lock.unlink()


def holder(location: str, path: str) -> str | None:
    """Who has the lock at ``path``, or had it when he was killed; None if there is no lock. Nothing is locked."""
    filesystem = locations.resolve(location)[0]
    content = locations.read_if_there(filesystem, path)
    if content is None:
        return None
    if locations.is_disk(filesystem):
        return content.decode() or leases.UNKNOWN
    return leases.holder_in(content)


check = leases.check  # raises Locked if a lease of this process was taken over; locks of a disk cannot be


def _taken(path: Path, what: str) -> IO[str]:
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read()
            file.close()
            raise Locked(f"{what} is locked by {holder}, which is working on it; wait for it to end") from None
        # The last holder may have deleted the file after it was opened here, and another process created a new one.
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()
