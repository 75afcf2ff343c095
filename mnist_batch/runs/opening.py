"""From a command to its run: list the scans and freeze them, or find the run that the command began before."""

import errno
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import pyarrow as pa

from mnist_batch import failpoints
from mnist_batch.background import in_background
from mnist_batch.errors import InputError, StorageError
from mnist_batch.intake import scans, spread
from mnist_batch.runs import discarding, parts, publishing, series
from mnist_batch.runs.command import Command
from mnist_batch.runs.run import Run, now
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Opened, Published
from mnist_batch.wording import counted

log = logging.getLogger(__name__)

SHORT_SECONDS = 1  # most mistakes are found by then, and few scans are listed: neither needs a Ray


@contextmanager
def open_run(command: Command, connect: Callable[[], object] = lambda: None) -> Iterator[Run]:
    """List the scans of a command with their labels and freeze them as a run, or find the run that it began before.

    The run is locked inside the context. It may be published already: then its sources still list the same.
    ``connect`` connects to Ray. It is called in the background if the listing takes long, and before tasks list what
    is more than ``listing.ALONE`` scans. Raises InputError if an argument or input breaks a rule, and Locked if
    another process is at work on the run.
    """
    started = time.monotonic()
    with ExitStack() as locks:
        run, following, known = _claimed(command, locks)
        if isinstance(known, Opened) and not run.refused:
            log.info("resuming run %s with the manifest that was frozen when it was opened", run.run_id)
            yield run
            return
        if isinstance(known, Published):
            publishing.conclude(run, known)  # left by a process that was killed between publishing and clearing
        # A published run most likely has nothing left to do, and needs no Ray.
        with nullcontext() if isinstance(known, Published) else in_background(connect, SHORT_SECONDS):
            listed, left_out = command.listed(spread.by_tasks(connect))
            listing_seconds = time.monotonic() - started
        failpoints.reach("listed")
        listing = scans.digest(listed)
        if known and known.listing == listing:
            _found_again(run, known)
            yield run
            return
        if known:
            log.info("the sources have changed since run %s; this is run %s", run.run_id, following.run_id)
        begun = following if known else run
        of_listing = {
            "listing": listing,
            "left_out": dict(left_out),
            "listing_seconds": round(listing_seconds, 3),
            "refused_before": (*known.refused_before, run.run_id) if isinstance(known, Opened) else (),
        }
        _freeze(begun, listed, command, of_listing)
        log.info("run %s: %s listed", begun.run_id, counted(listed.num_rows, "scan"))
        yield begun


def _found_again(run: Run, known: Published | Opened) -> None:
    """What is done with a published or refused run whose sources list the same."""
    if isinstance(known, Published):
        log.info("run %s is published and its sources list the same: nothing to do", run.run_id)
        return
    same = "run %s was refused and its sources list the same: scans whose failure may pass are read again"
    log.info(same, run.run_id)
    parts.discard_passing(run)


def _claimed(command: Command, locks: ExitStack) -> series.Found:
    """Find the run that a command means, with the locks on it and on the run that would follow it."""
    locks.enter_context(series.locked(command.out, command.first))
    found = run, following, known = _find(command)
    others = {run.run_id, following.run_id, *(known.refused_before if known else ())} - {command.first}
    for other in others:  # another command may name them with --run-id
        locks.enter_context(series.locked(command.out, other))
    interrupted = [each for each in (run, following) if discarding.interrupted(each)]
    for each in interrupted:
        log.warning("the discarding of run %s was interrupted; it is finished first", each.run_id)
        discarding.finish(each.out, each.run_id)
    return _find(command) if interrupted else found


def _find(command: Command) -> series.Found:
    return series.find_run(command.out, command.date, command.fingerprint, command.first)


def _freeze(run: Run, listed: pa.Table, command: Command, of_listing: Mapping[str, Any]) -> None:
    """Freeze what was listed as the manifest of a run; ``of_listing`` are the facts of the listing."""
    shards = scans.cut(listed, command.scans_in_a_shard)
    opened = Opened(
        run_id=run.run_id,
        run_date=run.run_date,
        **command.facts(listed),
        **of_listing,
        scans=len(listed),
        opened_at=now(),
        schema_version=tables.VERSION,
        shard_sizes=tuple(len(shard) for shard in shards),
    )
    series.check_place(run, opened.listing, len(shards))
    try:
        run.freeze(shards, opened, [each.form for each in command.opened_forms])
    except StorageError as error:
        if getattr(error.__cause__, "errno", None) in (None, errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        raise InputError(
            f"--out {run.out}: cannot be written to ({error.__cause__}); choose a folder that this job may write to"
        ) from None
