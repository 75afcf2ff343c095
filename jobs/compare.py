"""Compare two published runs of the same scans: which answers differ, and whether the second reads any class worse."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from . import flags, session

DESCRIPTION = """\
Compare two published runs of the same scans, for instance by two models: which answers differ, and is any class worse?

  python -m jobs.compare --out out --a 2026-11-21-1a2b3c4d --b 2026-11-21-5e6f7a8b

Rows are compared by source, scan and page (and cell of a form) if the scan has the same content in both runs. The
labels are those of the last report of each run. The page that is written, compare.html, shows the answers that differ.
A class is worse if it loses more answers than it gains by a one-sided exact test (McNemar), at 5 % for all classes
together (Holm). Ray is not needed.
Exit codes: 0 done, 2 bad arguments or input, 4 a class is worse beyond noise, 5 an internal fault."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, compare the runs; returns the exit code."""
    arguments = session.parser("jobs.compare", DESCRIPTION)
    flags.add_out(arguments, "where the runs were published")
    arguments.add_argument("--a", required=True, metavar="RUN_ID", help="the run to compare with")
    arguments.add_argument("--b", required=True, metavar="RUN_ID", help="the run that is to be no worse")
    arguments.add_argument(
        "--to", metavar="FILE", help="the page to write; OUT/comparisons/A..B/compare.html if left out"
    )
    given = arguments.parse_args(argv)

    def work() -> Mapping[str, Any]:
        from mnist_batch.reports import compared_runs  # after parsing: --help need not wait

        found = compared_runs.compare(given.out, given.a, given.b)
        page = compared_runs.write(given.out, given.a, given.b, found, given.to)
        for each in found.compared:
            print("\n".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in each.sentences))
        print(f"page: {page}")
        worse = {"status": "worse", "exit_code": 4} if found.worse else {}
        return {
            **worse,
            "a": given.a,
            "b": given.b,
            "worse": found.worse,
            **{each.title.lower(): asdict(each.comparison) for each in found.compared},
            "page": page,
        }

    return session.run(work)


if __name__ == "__main__":
    session.leave(main)
