"""Discard the runs that are older than they are kept: first they are withdrawn, then, after a time of grace, deleted.

Who reads the tables of a run by its run.json finds it or not; who found it has that time to read it to its end.
"""

import datetime
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mnist_batch.errors import DamagedRun, InputError, Locked
from mnist_batch.runs import clearing, datasets, discarding, series
from mnist_batch.runs.run import Run, now
from mnist_batch.store import changing, locations

log = logging.getLogger(__name__)

_LEAVING = re.compile(r"\.(.+)\.discarding")
SINCE = "since"


@dataclass
class Pruned:
    """The ids of runs: ``withdrawn`` now, to be deleted after the grace time; ``deleted`` now; and ``at_work``.

    ``cleared`` are the locations of what killed and lost attempts had left. ``kept`` counts the published runs that
    stay.
    """

    withdrawn: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    at_work: list[str] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    kept: int = 0


def prune(out: str, keep_days: int, keep_last: int = 1, grace_hours: float = 24, dry_run: bool = False) -> Pruned:
    """Discard whole runs whose night is more than ``keep_days`` ago, published or not.

    The newest ``keep_last`` published runs of the same sources are kept, however old they are. A published run is
    withdrawn, and deleted by a call that is ``grace_hours`` later; one that was not published is deleted at once. What
    killed and lost attempts left in other runs is cleared, too. A damaged run is left alone, and so is one that
    another process is at work on. With ``dry_run`` nothing is done or locked, and what is at work is not known. Raises
    InputError for an argument that breaks a rule.
    """
    if keep_days < 0 or grace_hours < 0:
        name, value = ("--keep-days", keep_days) if keep_days < 0 else ("--grace-hours", grace_hours)
        raise InputError(f"{name} is {value}; it may not be negative")
    if keep_last < 1:
        raise InputError(f"--keep-last is {keep_last}; it has to be at least 1, so that a current run is never deleted")
    locations.reach("--out", out)
    out = locations.absolute(out)
    pruned = Pruned()
    leaving, known = _leaving(out), series.known_runs(out)
    if not leaving and not known:
        raise InputError(f"--out {out!r}: there is no run; {locations.what_to_check(out)}")
    known = [run_id for run_id in known if run_id not in leaving]
    oldest = (datetime.date.today() - datetime.timedelta(days=keep_days)).isoformat()
    published, others = _older([Run(out, run_id, "") for run_id in known], oldest, keep_last, pruned)
    withdrawn = pruned.withdrawn if grace_hours else []
    for run_id in (*(run_id for run_id, since in leaving.items() if not since), *published):
        _do(_withdraw, out, run_id, withdrawn, pruned, dry_run)
    if not dry_run and (leaving or withdrawn):
        datasets.write_views(out)  # before a file is deleted that they name
    over = [] if grace_hours else withdrawn
    for run_id in (*_over(leaving, grace_hours), *over, *others):
        _do(discarding.finish, out, run_id, pruned.deleted, pruned, dry_run)
    pruned.cleared = clearing.clear_abandoned(out, dry_run, but_not=[*pruned.withdrawn, *pruned.deleted])
    if pruned.cleared and not dry_run:  # perhaps of a process that was killed before it wrote them
        datasets.write_views(out)
    return pruned


def _over(leaving: Mapping[str, datetime.datetime | None], grace_hours: float) -> list[str]:
    """The runs that were withdrawn so long ago."""
    latest = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=grace_hours)
    return [run_id for run_id, since in leaving.items() if since and since <= latest]


def _older(runs: Sequence[Run], oldest: str, keep_last: int, pruned: Pruned) -> tuple[list[str], list[str]]:
    """The runs that may go: published ones, and those that were not published."""
    found, others = [], []
    for run in runs:
        try:
            if published := run.published:
                found.append((published.run_date, published.published_at, published.sources, run.run_id))
            elif (opened := run.opened) and opened.run_date < oldest:
                others.append(run.run_id)
        except (DamagedRun, InputError) as error:  # of another version, or damaged: a person has to look at it
            log.warning("run %s is left alone: %s", run.run_id, error)
    later: Counter[tuple[str, ...]] = Counter()
    going = []
    for run_date, _, sources, run_id in sorted(found, reverse=True):
        later[sources] += 1
        if later[sources] > keep_last and run_date < oldest:
            going.append(run_id)
    pruned.kept = len(found) - len(going)
    return going[::-1], others


def _do(
    action: Callable[[str, str], None], out: str, run_id: str, done: list[str], pruned: Pruned, dry_run: bool
) -> None:
    try:
        if not dry_run:
            with series.locked(out, run_id):
                action(out, run_id)
        done.append(run_id)
    except Locked as error:
        log.warning("%s", error)
        pruned.at_work.append(run_id)


def _withdraw(out: str, run_id: str) -> None:
    filesystem, root = locations.resolve(out)
    changing.write_whole(filesystem, f"{discarding.leaving_folder(root, run_id)}/{SINCE}", now().encode())
    discarding.withdraw(out, run_id)


def _leaving(out: str) -> dict[str, datetime.datetime | None]:
    """The runs that were withdrawn, and when; None where a process was killed while it withdrew or discarded one.

    One that was killed before its run.json went has all its readers still.
    """
    filesystem, root = locations.resolve(out)
    found: dict[str, datetime.datetime | None] = {}
    for name in locations.names(filesystem, f"{root}/_staging"):
        match = _LEAVING.fullmatch(name)
        if match and locations.holds_files(filesystem, f"{root}/_staging/{name}"):
            since = locations.read_if_there(filesystem, f"{root}/_staging/{name}/{SINCE}")
            if locations.exists(filesystem, f"{root}/runs/{match[1]}/run.json"):
                since = None
            found[match[1]] = datetime.datetime.fromisoformat(since.decode()) if since else None
    return found
