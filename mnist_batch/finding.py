"""Which run a command means: its id, the newest of its series, and the lock that keeps others off it."""

import fcntl
import hashlib
import json
import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from pyarrow import fs

from mnist_batch import locations
from mnist_batch.errors import InputError, Locked
from mnist_batch.runs import Run

log = logging.getLogger(__name__)


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Eight hex digits of what decides a run's rows: sources, model digest, parameters that change answers."""
    return hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=4).hexdigest()


@contextmanager
def locked(out: str, run_id: str) -> Iterator[None]:
    """Keep every other process off the runs called ``run_id`` in ``out``; raises Locked where one is at work.

    The operating system frees the lock of a process that dies. Only local and network disks can lock: at a
    store behind a URI nothing keeps a second process out.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", run_id):
        raise InputError(f"--run-id {run_id!r}: use letters, digits, dots, dashes and underscores, at most 100")
    filesystem, root = locations.resolve(out)
    if not isinstance(filesystem, fs.LocalFileSystem):
        yield
        return
    path = Path(root, "_staging", f"{run_id}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written to ({error}); choose where this job may write") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(f"run {run_id} is being made by {path.read_text()}; wait for it to end") from None
        file.seek(0)
        if holder := file.read():
            log.warning("the lock of run %s was left by %s, which is gone: taken over", run_id, holder)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def find_run(out: str, run_date: str, mark: str, first: str) -> tuple[Run, Run]:
    """The newest run of this command, to be begun, resumed or left alone, and the run that would follow it.

    ``mark`` is the fingerprint, ``first`` the name of the first run of the series. A run whose sources changed
    after it was published is followed by ``<first>-2``, ``-3``... Raises InputError where ``first`` belongs to
    another fingerprint.
    """
    out = locations.absolute(out)
    run = _dated(Run(out, first, run_date))
    for known in (run.published, run.opened):
        if known and known["fingerprint"] != mark:
            raise InputError(
                f"--run-id {run.run_id}: that run had other sources, model or parameters "
                f"(fingerprint {known['fingerprint']}, now {mark}); choose another --run-id"
            )
    for number in count(2):
        following = Run(out, f"{first}-{number}", run_date)
        known = following.published or following.opened
        if known is None:
            return run, following
        if known["fingerprint"] == mark:
            run = _dated(following)
    raise AssertionError("unreachable: count() does not end")


def _dated(run: Run) -> Run:
    # A run keeps the date it was opened with, whatever day its command is repeated on.
    known = run.published or run.opened
    return replace(run, run_date=known["run_date"]) if known else run


def published_run(out: str, run_id: str) -> Run:
    """The published run of this id; InputError, naming those there are, where there is none."""
    out = locations.absolute(out)
    run = _dated(Run(out, run_id, ""))
    if run.published is None:
        known = published_runs(out)
        raise InputError(
            f"--run {run_id!r}: no published run of that id in {out}; there are {', '.join(known[-5:]) or 'none'}"
        )
    return run


def published_runs(out: str) -> list[str]:
    """The ids of all published runs, sorted."""
    filesystem, root = locations.resolve(out)
    ids = locations.names(filesystem, f"{root}/runs")
    return [run_id for run_id in ids if locations.exists(filesystem, f"{root}/runs/{run_id}/run.json")]
