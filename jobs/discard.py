"""Withdraw a published run, or throw an unfinished one away."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import flags, session

DESCRIPTION = """\
Delete a run, published or unfinished: everything it has in OUT is deleted, but no scans.

  python -m jobs.discard --out out --run 2026-11-21-1a2b3c4d --dry-run
  python -m jobs.discard --out out --run 2026-11-21-1a2b3c4d

It does not ask for confirmation. The command that made the run can make it again. Ray is not needed.
Exit codes: 0 done, 2 bad arguments or input, 5 an internal fault, 75 another process is at work on the run."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, discard the run; returns the exit code."""
    arguments = session.parser("jobs.discard", DESCRIPTION)
    flags.add_out(arguments, "where the run is")
    arguments.add_argument("--run", required=True, metavar="RUN_ID", help="the run's id, as jobs.list shows it")
    arguments.add_argument("--dry-run", action="store_true", help="say what would be deleted, and delete nothing")
    given = arguments.parse_args(argv)

    def work() -> Mapping[str, Any]:
        from mnist_batch.reports import overview_page  # after parsing: --help need not wait
        from mnist_batch.runs import discarding

        folders = discarding.discard(given.out, given.run, given.dry_run)
        if not given.dry_run:
            overview_page.rewrite(given.out)
        for folder in folders:
            print(f"{'would be deleted' if given.dry_run else 'deleted'}: {folder}")
        return {"status": "dry_run" if given.dry_run else "done", "run_id": given.run, "folders": folders}

    return session.run(work)


if __name__ == "__main__":
    session.leave(main)
