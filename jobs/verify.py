"""Check that published runs are byte for byte what was published."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import flags, session

DESCRIPTION = """\
Check that published runs are byte for byte what was published: predictions, report tables, report.html, confusion.png,
and the files of an audit.

  python -m jobs.verify --out out
  python -m jobs.verify --out out --run 2026-11-21-1a2b3c4d

Each fault is one line. Files are compared with the digests in their run.json. Ray is not needed.
Exit codes: 0 done, 2 bad arguments or input, or no published run; 5 a file is missing, changed or new."""

MOST = 100  # names in the last line


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, verify one run or all; returns the exit code."""
    arguments = session.parser("jobs.verify", DESCRIPTION)
    flags.add_out(arguments, "where runs were published")
    arguments.add_argument("--run", metavar="RUN_ID", help="one run; all of them if left out")
    given = arguments.parse_args(argv)

    def work() -> Mapping[str, Any]:
        from mnist_batch.runs import verifying  # after parsing: --help need not wait
        from mnist_batch.wording import counted

        counts, faulty = dict.fromkeys(("runs", "files", "rows", "faults"), 0), []
        for run in verifying.verify(given.out, given.run):
            counts["runs"] += 1
            counts["files"] += run.files
            counts["rows"] += run.rows
            counts["faults"] += len(run.faults)
            for fault in run.faults:
                print(f"{run.run_id}: {fault}")
            if run.faults:
                faulty.append(run.run_id)
            else:
                report = "" if run.report else "; published by a version that recorded nothing of its report"
                print(f"{run.run_id}: {counted(run.files, 'file')}, {counted(run.rows, 'row')}, as published{report}")
        if not faulty:
            return counts
        remedy = (
            f"{counted(counts['faults'], 'fault')} in {len(faulty):,} of {counted(counts['runs'], 'run')}. Restore the "
            "files from a backup; or make a report anew with jobs.report; or withdraw a run with jobs.discard and "
            "score it again"
        )
        print(remedy)
        return {"status": "failed", "exit_code": 5, "error": remedy, **counts, "faulty": faulty[:MOST]}

    return session.run(work)


if __name__ == "__main__":
    session.leave(main)
