"""Check that published predictions are byte for byte what was published."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mnist_batch import finding

from . import session

DESCRIPTION = """\
Check that published predictions are byte for byte what was published.

  python -m jobs.verify --out out
  python -m jobs.verify --out out --run 2026-11-21-1a2b3c4d

Exit codes: 0 done, 2 bad arguments or input, 5 a file is missing, changed or new."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, verify one run or all; returns the exit code."""
    arguments = session.parser("jobs.verify", DESCRIPTION)
    arguments.add_argument("--out", default="out", metavar="FOLDER", help="where runs were published")
    arguments.add_argument("--run", metavar="RUN_ID", help="one run; all of them if left out")
    given = arguments.parse_args(argv)

    def work() -> Mapping[str, Any]:
        ids = [given.run] if given.run else finding.published_runs(given.out)
        for run_id in ids:
            run = finding.published_run(given.out, run_id)
            files = (run.published or {})["files"]
            run.check_files(files)
            print(f"{run_id}: {len(files):,} files, {sum(file['rows'] for file in files):,} rows, as published")
        return {"runs": len(ids)}

    return session.run(work)


if __name__ == "__main__":
    sys.exit(main())
