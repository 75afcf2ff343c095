"""Rebuild the report of a published run from its predictions, with the labels in them or with new ones."""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mnist_batch.reports import report, sample_error, sampling
from mnist_batch.runs.run import Run
from mnist_batch.schemas.facts import Published
from mnist_batch.wording import counted

from . import flags, printing, session

DESCRIPTION = """\
Rebuild the report of a published run from its predictions.

  python -m jobs.report --out out --run 2026-11-21-1a2b3c4d --labels truth.csv

It replaces the report tables (labels among them), confusion.png and report.html. Predictions stay as they are.

How many of the accepted answers are wrong? Draw some at random, label them, and give the labels back:

  python -m jobs.report --out out --run 2026-11-21-1a2b3c4d --audit 300
  python -m jobs.report --out out --run 2026-11-21-1a2b3c4d --audit-labels audit.csv

The first line writes audit.html, with the scans, and audit.csv, a table to fill in, into OUT/runs/RUN_ID. It draws the
same answers each time, and the answers of a smaller sample first. An audit.csv that somebody has filled in is never
replaced. Fill in a copy of it: 0 to 9, or none where no valid digit is written. The second line states the share of
wrong answers among the accepted with its 95 % interval, in run.json and report.html as well.

Of a run with forms jobs.review --audit 300 draws the accepted fields, and its corrections.csv is given back with
--audit-labels.
Exit codes: 0 done, 2 bad arguments or input, 5 an internal fault, 75 another process is at work on the run."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, rebuild the report; returns the exit code."""
    given = _parser().parse_args(argv)
    return session.run(lambda: _rebuilt(given))


def _parser() -> argparse.ArgumentParser:
    arguments = session.parser("jobs.report", DESCRIPTION)
    flags.add_out(arguments, "where the run was published")
    flags.add_run(arguments)
    flags.add_labels(arguments)
    sample = arguments.add_mutually_exclusive_group()
    sample.add_argument(
        "--audit",
        type=int,
        metavar="N",
        help=f"draw N accepted answers at random (at most {sampling.MOST:,}) for a person to label; the last sample "
        "stays if left out",
    )
    sample.add_argument(
        sample_error.FLAG,
        metavar="FILE",
        help="the audit.csv of this run, filled in, or of a run with forms the corrections.csv of jobs.review --audit: "
        "state the error among the accepted",
    )
    return arguments


def _rebuilt(given: argparse.Namespace) -> Mapping[str, Any]:
    """Make the report again and print it; returns the facts for the last line."""
    run, published = report.rebuild(
        given.out, given.run, given.labels, given.ignore_unlisted_labels, given.audit, given.audit_labels
    )
    totals = published.totals
    print(printing.run_text(run, published))
    if error_text := sample_error.text(published):
        print(error_text)
    return {
        "run_id": run.run_id,
        "labelled": totals.labelled,
        "accuracy": totals.accuracy,
        **printing.decisions(totals),
        **printing.fields(published),
        "report": run.location(f"{run.folder}/report.html"),
        **({} if given.audit is None else _drawn(run, published)),
        **({"sample_error": asdict(error)} if (error := published.sample_error) else {}),
    }


def _drawn(run: Run, published: Published) -> dict[str, Any]:
    """Say what was drawn and what to do with it; returns it for the last line."""
    page, sheet = (run.location(f"{run.folder}/{name}") for name in (sampling.PAGE, sampling.SHEET))
    drawn, accepted = published.sample or 0, published.totals.accepted or 0
    few = f"{drawn:,} of {accepted:,} accepted answers, drawn at random"
    few = few if drawn < accepted else f"all {counted(accepted, 'accepted answer')}"
    out = shlex.quote(run.out)
    print(f"audit: {few}: {page}")
    print(f"fill in a copy of {sheet}, then: python -m jobs.report --out {out} --run {run.run_id} --audit-labels FILE")
    return {"sample": drawn, "audit_page": page, "audit_csv": sheet}


if __name__ == "__main__":
    session.leave(main)
