"""Withdraw a published run or throw an unfinished one away: first it is no run, then nobody reads it, then it is gone.

    run.json, opened.json -> report tables -> predictions -> what is left

Killed anywhere, it is finished by the same command, or by the next command that means the same run. ``pruning`` waits
between the first step and the second, for those who read the run.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pyarrow import fs

from mnist_batch import failpoints
from mnist_batch.errors import InputError
from mnist_batch.runs import datasets, series
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.store import changing, locations


def discard(out: str, run_id: str, dry_run: bool = False) -> list[str]:
    """Delete all files of a run, published or not, and return its folders; with ``dry_run`` nothing is deleted.

    Raises InputError, naming the runs there are, where there is none of this id, and Locked where another process is
    at work on it.
    """
    series.check_id(run_id, "--run")
    locations.reach("--out", out)
    filesystem, root = locations.resolve(out)
    found = _found(filesystem, root, run_id, out)
    if not dry_run:
        with series.locked(out, run_id):
            withdraw(out, run_id)
            datasets.write_views(out)
            finish(out, run_id)
    return [locations.named(out, folder) for folder in found]


def withdraw(out: str, run_id: str) -> None:
    """Make a run that is locked already no run any more; what it published stays for those who read it now."""
    filesystem, root = locations.resolve(out)
    leaving = leaving_folder(root, run_id)
    for marker in (f"runs/{run_id}/run.json", f"_staging/{run_id}/opened.json"):
        changing.move_file(filesystem, f"{root}/{marker}", f"{leaving}/{marker.rpartition('/')[2]}")
        changing.delete_file(filesystem, f"{root}/{marker}")  # at a store it was copied
    failpoints.reach("withdrawn")


def finish(out: str, run_id: str) -> None:
    """Discard a run that is locked already."""
    filesystem, root = locations.resolve(out)
    found = _found(filesystem, root, run_id, out)
    withdraw(out, run_id)
    leaving = leaving_folder(root, run_id)
    for folder in found:
        if locations.is_disk(filesystem):  # by one rename, so that a reader meets all of it or nothing
            changing.move_folder(filesystem, folder, f"{leaving}/{folder.removeprefix(root).replace('/', ' ')}")
        else:
            changing.delete_folder(filesystem, folder)
    changing.delete_folder(filesystem, leaving)


def interrupted(run: Run) -> bool:
    """Whether a process was killed while it discarded this run."""
    return locations.holds_files(run.filesystem, leaving_folder(run.root, run.run_id))


def leaving_folder(root: str, run_id: str) -> str:
    """Where the markers of a run lie from when it is withdrawn until all of it is deleted."""
    return f"{root}/_staging/.{run_id}.discarding"  # no run can have this name


def _found(filesystem: fs.FileSystem, root: str, run_id: str, out: str) -> list[str]:
    """The folders of a run, in the order in which they are deleted."""
    last_first = list(tables.TABLES)[::-1]
    dates = {date for table in last_first for date in locations.names(filesystem, f"{root}/{table}")}
    folders = [f"{root}/{table}/{date}/run_id={run_id}" for table in last_first for date in sorted(dates)]
    folders += [f"{root}/runs/{run_id}", f"{root}/_staging/{run_id}"]
    with ThreadPoolExecutor(locations.AT_ONCE) as pool:
        there = pool.map(partial(locations.holds_files, filesystem), folders)
        found = [folder for folder, holds in zip(folders, there, strict=True) if holds]
    if not found and not locations.holds_files(filesystem, leaving_folder(root, run_id)):
        known = series.known_runs(out)
        raise InputError(
            f"--run {run_id!r}: no run of that id in {locations.named(out, root)}; there are {series.some_of(known)}"
        )
    return found
