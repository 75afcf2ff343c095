"""Delete what no reader and no command needs any more: staging, refused runs, and files of attempts that lost.

At a store an attempt writes its files where they stay; those that run.json does not list are deleted once it is there.
"""

import logging
import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from pyarrow import fs

from mnist_batch.errors import DamagedRun, InputError, Locked
from mnist_batch.runs import datasets, parts, series
from mnist_batch.runs.run import LOCK, Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published
from mnist_batch.store import changing, locations

log = logging.getLogger(__name__)


@dataclass
class _Removal:
    """The ``paths`` of what is deleted, in that order; with ``dry_run`` of what would be, and it stays."""

    dry_run: bool = False
    paths: list[str] = field(default_factory=list)

    def folder(self, filesystem: fs.FileSystem, path: str) -> None:
        if locations.holds_files(filesystem, path):
            self.paths.append(path)
        if not self.dry_run:  # a store may have the key of a folder without files
            changing.delete_folder(filesystem, path)

    def file(self, filesystem: fs.FileSystem, path: str) -> None:
        self.paths.append(path)
        if not self.dry_run:
            changing.delete_file(filesystem, path)


def clear(run: Run, published: Published, known: Published | None = None) -> None:
    """Delete the staging of a published run and what its lost attempts left, and the refused runs that it replaces.

    Files that ``known`` lists, the run.json before it, stay for those who read them. The lock of the run is held by the
    caller.
    """
    _clear(run, [published, known] if known else [published], _Removal())


def clear_abandoned(out: str, dry_run: bool = False, but_not: Collection[str] = ()) -> list[str]:
    """Delete what killed and lost attempts left in an output, and return the locations of what was deleted.

    That is: the staging of published runs, files at a store that their run.json does not list, manifests that were
    never finished, and probes and leases whose process has ended. Runs that another process works on, unfinished runs
    that a command can finish, and all that is published stay, and so does whatever the runs ``but_not`` have.

    With ``dry_run`` nothing is deleted or locked; runs that a process is at work on are then taken for others.
    """
    locations.reach("--out", out)
    filesystem, root = locations.resolve(out)
    removal = _Removal(dry_run)
    staged = locations.names(filesystem, f"{root}/_staging")
    ids = {name.removesuffix(LOCK) for name in staged if not name.startswith(".")}
    for run_id in sorted((ids | _with_unlisted(out)).difference(but_not)):
        with suppress(Locked):
            _clear_run(out, run_id, f"{run_id}{LOCK}" in staged, removal)
    for name in staged:
        if name.startswith(changing.PROBE):
            removal.file(filesystem, f"{root}/_staging/{name}")
    return [locations.named(out, path) for path in removal.paths]


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


def _clear_run(out: str, run_id: str, leased: bool, removal: _Removal) -> None:
    run = Run(locations.absolute(out), run_id, "")
    with nullcontext() if removal.dry_run else series.locked(out, run_id):
        if leased:
            removal.paths.append(run.lock)  # it is deleted when this process releases it
        try:
            if published := run.published:
                _clear(replace(run, run_date=published.run_date), [published], removal)
            elif run.opened is None and not locations.holds_files(run.filesystem, run.folder):
                removal.folder(run.filesystem, run.staging)
        except (DamagedRun, InputError) as error:  # a person has to decide
            log.warning("%s", error)


def _clear(run: Run, listed_by: Sequence[Published], removal: _Removal) -> None:
    for run_id in listed_by[0].refused_before:
        _clear_refused(replace(run, run_id=run_id), removal)
    removal.folder(run.filesystem, run.staging)
    if run.at_store:
        for path in unlisted(run, *listed_by):
            removal.file(run.filesystem, path)


def _clear_refused(run: Run, removal: _Removal) -> None:
    """Delete a run that was refused and is replaced by another; at a store its parts lie where they would stay."""
    if run.published:
        return
    if run.at_store and (opened := run.opened):
        for folder in (replace(run, run_date=opened.run_date).table_folder(table) for table in tables.TABLES):
            if locations.names(run.filesystem, folder):
                removal.folder(run.filesystem, folder)
    removal.folder(run.filesystem, run.staging)


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
