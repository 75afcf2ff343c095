"""Export the rows of a published run as CSV, for spreadsheets."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import flags, session

DESCRIPTION = """\
Export the rows of a published run as CSV, for spreadsheets.

  python -m jobs.export --out out --run 2026-11-21-1a2b3c4d --rows review --csv review.csv
  python -m jobs.export --out out --run 2026-11-21-1a2b3c4d --table pages --csv pages.csv

The CSV file leaves out the pictures, the ten probabilities and the column normalisation; see the Parquet files.
Exit codes: 0 done, 2 bad arguments or input, 5 an internal fault."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, write the file; returns the exit code."""
    arguments = session.parser("jobs.export", DESCRIPTION)
    flags.add_out(arguments, "where the run was published")
    flags.add_run(arguments)
    arguments.add_argument("--csv", required=True, metavar="FILE", help="the file to write, or to replace")
    arguments.add_argument(
        "--rows",
        choices=("all", "review", "mistakes", "unread"),
        default="all",
        help="review: the decision is review; mistakes: the answer differs from the label; unread: could not be read",
    )
    arguments.add_argument(
        "--table",
        choices=("predictions", "fields", "pages"),
        help="which table; fields if left out and the run has forms, else predictions",
    )
    given = arguments.parse_args(argv)

    def work() -> Mapping[str, Any]:
        from mnist_batch.reports import spreadsheet
        from mnist_batch.runs import series
        from mnist_batch.wording import counted

        run, published = series.published_run(given.out, given.run)
        written = spreadsheet.write(run, published, given.csv, given.rows, given.table)
        print(f"{counted(written, 'row')}: {given.csv}")
        return {"run_id": run.run_id, "rows": written, "csv": given.csv}

    return session.run(work)


if __name__ == "__main__":
    session.leave(main)
