"""Rebuild the report of a published run from its predictions, with the labels in them or with new ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from mnist_batch.reports import report

from . import flags, printing, session

DESCRIPTION = """\
Rebuild the report of a published run from its predictions.

  python -m jobs.report --out out --run 2026-11-21-1a2b3c4d --labels truth.csv

It replaces the report tables (labels among them), confusion.png and report.html. Predictions stay as they are.
Exit codes: 0 done, 2 bad arguments or input, 5 an internal fault."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, rebuild the report; returns the exit code."""
    arguments = session.parser("jobs.report", DESCRIPTION)
    flags.add_out(arguments, "where the run was published")
    arguments.add_argument("--run", required=True, metavar="RUN_ID", help="the run's id, a folder name in OUT/runs")
    arguments.add_argument(
        "--labels",
        metavar="HOW",
        help="labels to use instead of those in the rows: a CSV or Parquet file with columns scan,label, or parent for "
        "the names of folders; none returns to those in the rows; those of the last report if left out",
    )
    arguments.add_argument(
        "--ignore-unlisted-labels",
        action="store_true",
        help="leave out the labels of scans that the run does not have, and count them",
    )
    given = arguments.parse_args(argv)

    def work() -> Mapping[str, Any]:
        run, published = report.rebuild(given.out, given.run, given.labels, given.ignore_unlisted_labels)
        totals = published.totals
        print(printing.run_text(run, totals))
        return {
            "run_id": run.run_id,
            "labelled": totals.labelled,
            "accuracy": totals.accuracy,
            **printing.decisions(totals),
            "report": run.location(f"{run.folder}/report.html"),
        }

    return session.run(work)


if __name__ == "__main__":
    session.leave(main)
