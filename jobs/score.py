"""Score scanned digits on a Ray cluster and publish predictions and per-class accuracy reports as Parquet."""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mnist_batch.errors import InputError
from mnist_batch.pipeline.pools import Pools
from mnist_batch.pipeline.settings import Settings
from mnist_batch.reading.preprocessing import Limits
from mnist_batch.runs import retrying
from mnist_batch.runs.command import Command
from mnist_batch.statuses import PASSING

from . import flags, session

DESCRIPTION = """\
Score scanned digits and publish predictions and reports as Parquet.

  python -m jobs.score forms/ --labels parent --out out
  python -m jobs.score digit.png --model models/hidden --out out
  python -m jobs.score pages/ --form forms/turnout --out out
  python -m jobs.score --retry 2026-11-21-1a2b3c4d --out out

The same command again finishes a run that was interrupted, and does nothing after one that succeeded.
Exit codes: 0 done, 2 bad arguments or input, 3 too many unreadable scans, 5 the rows are not the
scans listed or an internal fault, 75 another process is at work on the run."""

SCANS = ("sources", "manifest", "include", "exclude", "form", "labels", "ignore_unlisted_labels", "require_scans")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, open the run, score it; returns the exit code."""
    given = _parser().parse_args(argv)
    return session.run(lambda: _score(given))


def _parser() -> argparse.ArgumentParser:
    arguments = session.parser("jobs.score", DESCRIPTION)
    what = arguments.add_argument_group("what to score")
    flags.add(what, Command, *SCANS)
    what.add_argument(
        "--retry",
        metavar="RUN_ID",
        help="instead of SCANS: those scans of a published run that failed for a temporary reason "
        f"({', '.join(PASSING)}), scored again as that run was and published as run RUN_ID-retry",
    )
    what.add_argument(
        "--dry-run",
        action="store_true",
        help="check all arguments, list the scans and say what would be done; do none of it",
    )
    how = arguments.add_argument_group("with what, and where to")
    flags.add_out(how, "where tables and reports are published")
    flags.add(how, Command, "model", "engine", "all_nets", "target_error", "trust_anyway")
    flags.add(how, Command, "keep_images", "run_date", "run_id")
    flags.add(how, Settings, "max_unreadable", "baseline", "baseline_nights")
    add_limits_and_place(arguments, Command)
    return arguments


def add_limits_and_place(arguments: argparse.ArgumentParser, command: type[Command]) -> None:
    """Add the limits of a scan, and where the work is done; ``command`` has the size of a shard."""
    limits = arguments.add_argument_group("limits of one scan; the row of a scan beyond them says so")
    flags.add(limits, Limits, "max_bytes", "max_pixels")
    flags.add(limits, Settings, "scan_timeout_seconds")
    where = arguments.add_argument_group("where it runs")
    session.add_address(where)
    flags.add(where, Pools, "preprocessors", "classifiers", "gpus_per_classifier")
    flags.add(where, command, "shard_size")
    flags.add(where, Settings, "wait_for_cpus_seconds", "no_progress_timeout_seconds")


def settings_of(given: argparse.Namespace) -> Settings:
    """How a run is scored, from the flags."""
    pools = Pools(**flags.given(given, Pools))
    return Settings(pools, here=session.no_cluster(given.address), **flags.given(given, Settings))


def _score(given: argparse.Namespace) -> Mapping[str, Any]:
    """Score what is asked for; returns the facts for the last line."""
    from mnist_batch import scoring  # after parsing: --help need not wait for Ray
    from mnist_batch.reports import plots
    from mnist_batch.runs import opening, previewing

    from . import printing

    settings = settings_of(given)
    command = _command(given)
    retries = {} if given.retry is None else {"retries": given.retry}
    if isinstance(command, retrying.Retry) and not command.failed:
        print(f"run {given.retry}: no scan failed for a passing reason, there is nothing to retry")
        return {**retries, "rows": 0, **({"status": "dry_run"} if given.dry_run else {})}
    if given.dry_run:
        found = previewing.preview(command)
        print(previewing.text(found))
        return {"status": "dry_run", **found}

    connect = partial(session.connect, given.address)
    with opening.open_run(command, connect) as run:
        if not run.published:
            plots.import_ahead()
        published = scoring.score(run, settings, connect)
    print(printing.run_text(run, published))
    return {
        "run_id": run.run_id,
        **retries,
        "scans": published.scans,
        **({"drift": published.drift.alerting} if published.drift and published.drift.compared else {}),
        **printing.facts(run, published),
    }


def _command(given: argparse.Namespace) -> Command:
    """The command for the scans that are given, or for those of a run that are scored again."""
    asked, limits = flags.given(given, Command), flags.given(given, Limits)
    if given.retry is None:
        return Command(out=given.out, limits=Limits(**limits), **asked)
    for name in SCANS:
        if name in asked:
            raise InputError(
                f"--retry {given.retry} has its scans and labels from that run; "
                f"leave {flags.argument(Command, name)} out"
            )
    return retrying.command(given.out, given.retry, **limits, **asked)


if __name__ == "__main__":
    session.leave(main)
