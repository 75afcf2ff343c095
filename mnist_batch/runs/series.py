"""Which run a command means: its id, the newest run of its series, and the lock on it."""

import datetime
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mnist_batch.errors import InputError
from mnist_batch.runs.parts import LISTING, shard_name
from mnist_batch.runs.run import LOCK, Run, digest, part_name
from mnist_batch.schemas.facts import Held, Opened, Published, RunFacts
from mnist_batch.store import locations, locks

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LONGEST_NEW = 90  # characters; later runs of the series get a number at the end


def fingerprint_of(identity: Mapping[str, Any]) -> str:
    """Eight hex digits of what decides the rows of a run: sources, model digest, parameters that change answers."""
    return hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=4).hexdigest()


def date_of(given: str | None) -> str:
    """A run's date as its folders have it, today if None; InputError if it is no date."""
    if given is None:
        return datetime.date.today().isoformat()
    try:
        return datetime.date.fromisoformat(given).isoformat()
    except ValueError:
        raise InputError(f"--run-date {given!r}: give a date such as 2026-11-21") from None


def digest_of(location: str) -> str:
    """BLAKE2b-128 of a label file, in hex; InputError if there is no such file."""
    filesystem, path = locations.resolve(location)
    locations.reach("--labels", location)
    if not locations.exists(filesystem, path) or locations.is_folder(filesystem, path):
        raise InputError(f"--labels {location!r}: no such file; give none, parent, or a CSV or Parquet file")
    return digest(locations.read(filesystem, path))


def check_id(run_id: str, argument: str = "--run-id") -> None:
    """Raise InputError unless this can be the id of a run."""
    if not _ID.fullmatch(run_id):
        raise InputError(
            f"{argument} {run_id!r}: begin with a letter or a digit, and use letters, digits, dots, dashes and "
            "underscores, at most 100"
        )


# Some readers guess the type of run_id= from its text: 0012, 1e5 and 20261121 become numbers, 2026-11-21 a date. An id
# that begins with a letter stays text unless it is one of these words, and so does a date followed by a dash and more.
TEXT_ID = re.compile(r"[A-Za-z].*|\d{4}-\d\d-\d\d-.+")
WORDS = {"epoch", "false", "inf", "infinity", "nan", "true"}


def check_new_id(run_id: str) -> None:
    """Raise InputError unless a run may begin with this id: a plain name that no reader takes for another type."""
    if len(run_id) > LONGEST_NEW:
        raise InputError(f"--run-id {run_id!r} has {len(run_id)} characters; give an id of at most {LONGEST_NEW}")
    check_id(run_id)
    if run_id.endswith(LOCK):
        raise InputError(f"--run-id {run_id!r} ends in {LOCK}, which is kept for lock files; give another id")
    if not TEXT_ID.fullmatch(run_id) or run_id.lower() in WORDS:
        raise InputError(
            f"--run-id {run_id!r}: programs that read the tables may take it for a number, a date or a flag; begin "
            f"with a letter, as in 'night-{run_id}', or with a date and a dash, as in '2026-11-21-forms'"
        )


@contextmanager
def locked(out: str, run_id: str) -> Iterator[None]:
    """Lock the run ``run_id`` in ``out``; raises Locked if another process is at work on it."""
    check_id(run_id)
    with locks.locked(out, Run(out, run_id, "").lock, f"run {run_id}"):
        yield


def holder(out: str, run_id: str) -> str | None:
    """Who is at work on the run ``run_id`` in ``out``, or was when he was killed; None if it is not locked."""
    return locks.holder(out, Run(out, run_id, "").lock)


class Found(NamedTuple):
    """The newest run of a command, the run that would follow it, and the facts of the newest.

    ``known`` is None if the run has not begun.
    """

    run: Run
    following: Run
    known: Published | Opened | None


def find_run(out: str, run_date: str, fingerprint: str, first: str) -> Found:
    """Find the newest run of a series, which is to be begun, resumed or left alone, and the run that would follow it.

    ``first`` is the id of the first run of the series. If the sources change after a run was published, ``<first>-2``,
    ``-3``... follow it. Raises InputError if ``first`` has another fingerprint, or if another version began the run
    that is to be resumed.
    """
    out = locations.absolute(out)
    run = Run(out, first, run_date)
    newest = known = _known(run)
    if known and known.fingerprint != fingerprint:
        raise InputError(
            f"--run-id {run.run_id}: that run had other sources, another model, other parameters or another version "
            f"of the preprocessing (fingerprint {known.fingerprint}, now {fingerprint}); choose another --run-id"
        )
    last, ids = 1, known_runs(out)
    for number in _numbers(ids, first):  # one of them may have been discarded
        later = Run(out, f"{first}-{number}", run_date)
        known = _known(later)
        if known is None:
            # Its run.json was deleted or its discarding killed, and its rows would be read beside those of a new run.
            gone = run.run_id not in ids and first.endswith(fingerprint)
            if gone and locations.holds_files(run.filesystem, later.folder):
                run, last, newest = later, number, None
            continue
        last = number
        if known.fingerprint == fingerprint:
            run, newest = later, known
    return Found(_dated(run, newest), Run(out, f"{first}-{last + 1}", run_date), newest)


def _known(run: Run) -> Published | Opened | None:
    return run.published or run.opened


def _numbers(ids: Sequence[str], first: str) -> list[int]:
    found = (re.fullmatch(rf"{re.escape(first)}-([1-9][0-9]{{0,8}})", run_id) for run_id in ids)
    return sorted(int(match[1]) for match in found if match and match[1] != "1")


def check_place(run: Run, listing: str, shards: int) -> None:
    """Raise InputError if predictions of another run lie where those of ``run``, which has not begun, will go.

    That is what is left where a run.json was deleted. Those of all the same scans, by the digest of what was listed,
    are taken for this run's; at a store they are scored again, and those that differ are deleted in the end.
    """
    folder = run.table_folder("predictions")
    there = [name for name in locations.names(run.filesystem, folder) if not name.startswith(".")]
    if not there or (
        sorted({shard_name(name) for name in there}) == [part_name(number) for number in range(shards or 1)]
        and all(_listing_of(run, f"{folder}/{name}") == listing for name in there)
    ):
        return
    raise InputError(
        f"{folder}: contains predictions of an earlier run {run.run_id} whose run.json is gone. Restore "
        f"{run.folder}/run.json from a backup; or remove them ({run.discarding}), then run the same command again"
    )


def _listing_of(run: Run, part: str) -> str:
    content = locations.read(run.filesystem, part)
    try:
        return str((pq.read_schema(pa.BufferReader(content)).metadata or {}).get(LISTING.encode(), b"").decode())
    except (pa.ArrowException, OSError):  # no part, or a damaged one
        return ""


def _dated(run: Run, known: RunFacts | None) -> Run:
    # A run keeps the date on which it was opened, also when its command is repeated on another day.
    return replace(run, run_date=known.run_date) if known else run


def published_run(out: str, run_id: str) -> tuple[Run, Published]:
    """The published run with this id and its run.json; if there is none, InputError names those there are."""
    check_id(run_id, "--run")
    out = locations.absolute(out)
    locations.reach("--out", out)
    run = Run(out, run_id, "")
    published = run.published
    if published is None:
        raise InputError(
            f"--run {run_id!r}: no published run of that id in {out}; there are {some_of(published_runs(out))}"
        )
    return _dated(run, published), published


def held_run(out: str, run_id: str) -> tuple[Run, Held]:
    """The held run with this id, and why it is held; if there is none, InputError names those there are."""
    check_id(run_id, "--publish-anyway")
    out = locations.absolute(out)
    locations.reach("--out", out)
    run = Run(out, run_id, "")
    held, opened = run.held, run.opened
    if held is None or opened is None:
        there = [each for each in known_runs(out) if Run(out, each, "").held]
        raise InputError(f"--publish-anyway {run_id!r}: no run of that id is held in {out}; there are {some_of(there)}")
    return _dated(run, opened), held


def interrupted(out: str) -> list[tuple[Run, Opened]]:
    """The runs that were begun and neither published, refused nor held, with what was frozen, the oldest first."""
    found = []
    for run in _staged(out):
        ended = run.published or run.refused or run.held
        if not ended and (opened := run.opened):
            found.append((_dated(run, opened), opened))
    return sorted(found, key=lambda pair: (pair[1].run_date, pair[1].opened_at))


def not_concluded(out: str) -> list[tuple[Run, Published]]:
    """The published runs that still have a folder in staging: a process was killed before it had cleared it."""
    return [(_dated(run, published), published) for run in _staged(out) if (published := run.published)]


def _staged(out: str) -> list[Run]:
    out = locations.absolute(out)
    filesystem, root = locations.resolve(out)
    return [Run(out, name, "") for name in locations.names(filesystem, f"{root}/_staging") if is_id(name)]


def some_of(ids: Sequence[str]) -> str:
    """The last few of these run ids, for a message."""
    return ", ".join(ids[-5:]) or "none"


def published_runs(out: str) -> list[str]:
    """The ids of all published runs, sorted."""
    filesystem, root = locations.resolve(out)
    locations.reach("--out", out)
    if not locations.is_disk(filesystem):  # with a request for a thousand files, not one for each run
        files = locations.files_below(filesystem, f"{root}/runs")
        return [file.removesuffix("/run.json") for file in files if re.fullmatch(r"[^/]+/run\.json", file)]
    ids = locations.names(filesystem, f"{root}/runs")
    return [run_id for run_id in ids if locations.exists(filesystem, f"{root}/runs/{run_id}/run.json")]


def known_runs(out: str) -> list[str]:
    """The ids of all runs that have a folder, at a store one with files, published or not, sorted."""
    filesystem, root = locations.resolve(out)
    found = locations.names if locations.is_disk(filesystem) else locations.files_below
    paths = [path for folder in ("runs", "_staging") for path in found(filesystem, f"{root}/{folder}")]
    names = {path.partition("/")[0] for path in paths}
    return sorted(name for name in names if is_id(name))


def is_id(name: str) -> bool:
    """Whether a name in ``runs`` or ``_staging`` is that of a run, and not of a lock or what is being deleted."""
    return bool(_ID.fullmatch(name)) and not name.endswith(LOCK)
