"""Leases at object stores, which have no locks: an object names the holder, who renews it as long as he lives.

A lease that is not renewed for as long as it says is taken over. Nobody compares the clocks of two machines: who wants
a lease watches by his own clock whether it changes. On the machine of its holder a process that ended is known at once.
"""

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mnist_batch import wording
from mnist_batch.errors import InputError, Locked, StorageError
from mnist_batch.store import retry
from mnist_batch.store.conditional import Objects, Read

log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0  # without being renewed
RENEW_SECONDS = 10.0
LOOK_SECONDS = 1.0
UNKNOWN = "an unknown process"

_held: dict[str, "_Lease"] = {}


@contextmanager
def held(objects: Objects, path: str, what: str) -> Iterator[None]:
    """Hold the lease on the object at ``path`` inside the context; ``what`` is the noun for messages.

    Raises Locked with the name of the holder if another process that lives has it.
    """
    lease = _Lease(objects, path, what)
    lease.take()
    _held[path] = lease
    renewing = threading.Thread(target=lease.renew, daemon=True)
    renewing.start()
    try:
        yield
    finally:
        lease.over.set()
        renewing.join()
        del _held[path]
        with suppress(InputError, StorageError), retry.patience(0):  # it would hide how the work ended
            lease.release()


def check(path: str) -> None:
    """Raise Locked if this process had the lease on the object at ``path``, and another one has taken it over."""
    if lease := _held.get(path):
        lease.check()


class _Lease:
    def __init__(self, objects: Objects, path: str, what: str) -> None:
        self.objects, self.path, self.what = objects, path, what
        self.over = threading.Event()
        self.lost = False
        self.said: dict[str, Any] = {
            "holder": f"process {os.getpid()} on {socket.gethostname()}",
            "seconds": LEASE_SECONDS,
        }
        self.said |= {"token": secrets.token_hex(8), "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        self.said |= {"process": _process(os.getpid()), "renewed": 0}

    @property
    def content(self) -> bytes:
        return json.dumps(self.said, indent=2).encode()

    def take(self) -> None:
        first: Read | None = None
        while True:
            begun = time.monotonic()
            there = self.objects.read(self.path)
            if there is None:
                if self.objects.create(self.path, self.content):
                    self.renewed_at = begun
                    return
                continue
            said = _said(there.content)
            lives = _lives(said)
            if lives or (first is not None and there.content != first.content):
                raise Locked(f"{self.what} is locked by {said['holder']}, which is working on it; wait for it to end")
            if first is None:
                first, since = there, begun
                if lives is None:
                    text = "the lease of %s is held by %s: waiting up to %s to see whether it lives"
                    log.info(text, self.what, said["holder"], wording.seconds(said["seconds"]))
            if lives is False or begun - since >= said["seconds"]:
                if self.objects.replace(self.path, self.content, there):
                    self.renewed_at = begun
                    text = "the lock of %s was left by %s, which has ended: this job takes it over"
                    log.warning(text, self.what, said["holder"])
                    return
                continue
            self.over.wait(min(LOOK_SECONDS, said["seconds"] / 4))

    def renew(self) -> None:
        while not self.over.wait(RENEW_SECONDS):
            with suppress(InputError, StorageError), retry.patience(RENEW_SECONDS):
                self._renew()
            if self.lost:
                log.warning("another process has taken %s over", self.what)
                return

    def _renew(self) -> None:
        begun, there = time.monotonic(), self.objects.read(self.path)
        if there is None or _said(there.content)["token"] != self.said["token"]:
            self.lost = True
            return
        self.said["renewed"] += 1
        if self.objects.replace(self.path, self.content, there):
            self.renewed_at = begun
        else:
            self.lost = True

    def check(self) -> None:
        # Younger than that, nobody can have watched it for long enough.
        if not self.lost and time.monotonic() - self.renewed_at > LEASE_SECONDS / 2:
            there = self.objects.read(self.path)
            self.lost = there is None or _said(there.content)["token"] != self.said["token"]
        if self.lost:
            raise Locked(f"{self.what}: another process has taken it over; wait for it to end")

    def release(self) -> None:
        self.check_quietly()
        if not self.lost:
            self.objects.delete(self.path)

    def check_quietly(self) -> None:
        with suppress(Locked):
            self.check()


def holder_in(content: bytes) -> str:
    """The holder that a lease names."""
    return str(_said(content)["holder"])


def _said(content: bytes) -> dict[str, Any]:
    """What a lease says; of a damaged one that its holder is not known."""
    unknown = {"holder": UNKNOWN, "seconds": LEASE_SECONDS, "token": None, "process": None}
    try:
        said = json.loads(content)
        return {**unknown, **said, "seconds": float(said["seconds"])}
    except (ValueError, TypeError, KeyError):
        return unknown


def _process(number: int) -> list[str] | None:
    """What tells a process from every other of any machine and time; None where it is not there, or not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")  # other containers of this machine number their processes anew
        state, *numbers = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else [boot, space, str(number), numbers[18]]


def _lives(said: dict[str, Any]) -> bool | None:
    """Whether the holder of a lease lives; None if that cannot be known here."""
    process, own = said["process"], _process(os.getpid())
    if not process or not own or process[:2] != own[:2]:
        return None
    if process == own:  # a lease of this process that it could not release
        return any(lease.said["token"] == said["token"] for lease in _held.values())
    return bool(_process(int(process[2])) == process)
