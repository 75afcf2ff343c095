"""Delete the runs of an output that are older than they are kept."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import flags, session

if TYPE_CHECKING:
    from mnist_batch.runs.pruning import Pruned

DESCRIPTION = """\
Delete the runs of an output that are older than they are kept: whole runs, and no scans.

  python -m jobs.prune --out out --keep-days 90 --dry-run
  python -m jobs.prune --out out --keep-days 90

The newest run of each set of sources is kept however old it is. A published run is withdrawn first: from then on it is
no run any more, but its files stay for those who are reading them. The first jobs.prune after the time of grace deletes
them. What was begun and never published is deleted at once, and so is what killed attempts left in other runs. Runs
that a process is at work on are left alone. --dry-run lists all that would be removed, and its size. Ray is not needed.
Exit codes: 0 done, 2 bad arguments or input, 5 an internal fault."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, prune; returns the exit code."""
    given = _parser().parse_args(argv)
    return session.run(lambda: _pruned(given))


def _parser() -> argparse.ArgumentParser:
    arguments = session.parser("jobs.prune", DESCRIPTION)
    flags.add_out(arguments, "where the runs are")
    arguments.add_argument(
        "--keep-days", type=int, required=True, metavar="N", help="keep the runs of the last N days, by their dates"
    )
    arguments.add_argument(
        "--keep-last",
        type=int,
        default=1,
        metavar="N",
        help="keep the newest N published runs of the same sources, however old they are",
    )
    arguments.add_argument(
        "--grace-hours",
        type=float,
        default=24,
        metavar="HOURS",
        help="how long the files of a withdrawn run stay for those who are reading them",
    )
    arguments.add_argument("--dry-run", action="store_true", help="list what would be removed, and remove nothing")
    return arguments


def _pruned(given: argparse.Namespace) -> Mapping[str, Any]:
    from mnist_batch.reports import overview_page  # after parsing: --help need not wait
    from mnist_batch.runs import pruning

    pruned = pruning.prune(given.out, given.keep_days, given.keep_last, given.grace_hours, given.dry_run)
    if given.dry_run:
        return _previewed(given.out, pruned, given.grace_hours)
    overview_page.rewrite(given.out)
    said = {"withdrawn": pruned.withdrawn, "deleted": pruned.deleted, "left alone, at work": pruned.at_work}
    said["cleared"] = pruned.cleared
    for what, runs in said.items():
        for run_id in runs:
            print(f"{what}: {run_id}")
    print(f"published runs that stay: {pruned.kept:,}")
    return {"status": "done", **asdict(pruned)}


def _previewed(out: str, pruned: "Pruned", grace_hours: float) -> Mapping[str, Any]:
    from mnist_batch.runs import prune_preview

    preview = prune_preview.preview(out, pruned)
    print(prune_preview.text(preview, grace_hours))
    print(f"published runs that stay: {pruned.kept:,}")
    sums = {what: size._asdict() for what, size in preview.sums.items()}
    return {"status": "dry_run", **asdict(pruned), "locked": preview.locked, "sums": sums}


if __name__ == "__main__":
    session.leave(main)
