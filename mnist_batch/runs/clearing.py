"""Delete what no reader and no command needs any more: staging, refused runs, and files of attempts that lost.

At a store an attempt writes its files where they stay; those that run.json does not list are deleted once it is there.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial

from pyarrow import fs

from mnist_batch.errors import DamagedRun, InputError, Locked
from mnist_batch.runs import datasets, parts, series
from mnist_batch.runs.run import LOCK, Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published
from mnist_batch.store import locations

log = logging.getLogger(__name__)

PROBE = ".probe"  # how the names of objects begin that a job writes to try a store out


def clear(run: Run, published: Published, known: Published | None = None) -> list[str]:
    """Delete the staging of a published run and what its lost attempts left, and the refused runs that it replaces.

    Files that ``known`` lists, the run.json before it, stay for those who read them. Returns the paths of what was
    deleted. The lock of the run is held by the caller.
    """
    removed = [path for run_id in published.refused_before for path in _clear_refused(replace(run, run_id=run_id))]
    removed += _clear_staging(run)
    if run.at_store:
        for path in unlisted(run, *([published, known] if known else [published])):
            locations.delete_file(run.filesystem, path)
            removed.append(path)
    return removed


def clear_abandoned(out: str) -> list[str]:
    """Delete what killed and lost attempts left in an output, and return the locations of what was deleted.

    That is: the staging of published runs, files at a store that their run.json does not list, manifests that were
    never finished, and probes and leases whose process has ended. Runs that another process works on, unfinished runs
    that a command can finish, and all that is published stay.
    """
    locations.reach("--out", out)
    filesystem, root = locations.resolve(out)
    removed: list[str] = []
    staged = locations.names(filesystem, f"{root}/_staging")
    ids = {name.removesuffix(LOCK) for name in staged if not name.startswith(".")}
    for run_id in sorted(ids | _with_unlisted(out)):
        with suppress(Locked):
            removed += _clear_run(out, run_id, f"{run_id}{LOCK}" in staged)
    for name in staged:
        if name.startswith(PROBE):
            locations.delete_file(filesystem, f"{root}/_staging/{name}")
            removed.append(f"{root}/_staging/{name}")
    return [locations.named(out, path) for path in removed]


def _with_unlisted(out: str) -> set[str]:
    """The published runs at a store that have files which their run.json does not list; nothing is locked."""
    filesystem, root = locations.resolve(out)
    if locations.is_disk(filesystem):
        return set()
    found = []
    for table in tables.TABLES:
        below = fs.FileSelector(f"{root}/{table}", allow_not_found=True, recursive=True)
        found += locations.ask(filesystem, below.base_dir, partial(filesystem.get_file_info, below))
    written = {each.path.removeprefix(f"{root}/") for each in found if parts.tells_content(each.base_name)}
    ids = {match[1] for path in written if (match := re.search(r"/run_id=([^/]+)/", path))}
    for published in datasets.facts_of(out, sorted(ids & set(series.published_runs(out))), skip_damaged=True):
        listed = {file.path for file in (*published.files, *(published.report_files or ()))}
        if all(path in listed for path in written if f"/run_id={published.run_id}/" in path):
            ids.discard(published.run_id)
    return ids


def _clear_run(out: str, run_id: str, leased: bool) -> list[str]:
    run = Run(locations.absolute(out), run_id, "")
    with series.locked(out, run_id):
        lock = [run.lock] if leased else []  # it is deleted when this process releases it
        try:
            if published := run.published:
                run = replace(run, run_date=published.run_date)
                return lock + clear(run, published)
            if run.opened is None and not locations.holds_files(run.filesystem, run.folder):
                return lock + _clear_staging(run)
        except (DamagedRun, InputError) as error:  # a person has to decide
            log.warning("%s", error)
        return lock


def _clear_staging(run: Run) -> list[str]:
    there = locations.holds_files(run.filesystem, run.staging)
    run.clear_staging()
    return [run.staging] if there else []


def _clear_refused(run: Run) -> list[str]:
    """Delete a run that was refused and is replaced by another; at a store its parts lie where they would stay."""
    if run.published:
        return []
    removed = []
    if run.at_store and (opened := run.opened):
        for folder in (replace(run, run_date=opened.run_date).table_folder(table) for table in tables.TABLES):
            if locations.names(run.filesystem, folder):
                locations.delete_folder(run.filesystem, folder)
                removed.append(folder)
    return removed + _clear_staging(run)


def unlisted(run: Run, *listed_by: Published) -> list[str]:
    """The paths of files in the tables of a run at a store that an attempt wrote and none of these run.json list."""
    listed = {f"{run.root}/{file.path}" for each in listed_by for file in (*each.files, *(each.report_files or ()))}
    with ThreadPoolExecutor(locations.AT_ONCE) as pool:
        written = pool.map(lambda table: [*_written(run, table)], tables.TABLES)
        return sorted(path for paths in written for path in paths if path not in listed)


def _written(run: Run, table: str) -> Iterator[str]:
    folder = run.table_folder(table)
    names: Sequence[str] = locations.names(run.filesystem, folder)
    return (f"{folder}/{name}" for name in names if parts.tells_content(name))
