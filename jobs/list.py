"""List the runs of an output: their state, counts and accuracy."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import flags, session

DESCRIPTION = """\
List the runs of an output, the newest last: their state, counts and accuracy.

  python -m jobs.list --out out

A run is published, unfinished (its command finishes it), held (it broke a gate; publish it with jobs.night
--publish-anyway, or discard it), refused (too many of its scans could not be read; fix them and run its command again),
withdrawn (jobs.prune or jobs.discard deletes it) or damaged (its run.json is missing or cannot be read). Ray is not
needed.
Exit codes: 0 done, 2 bad arguments or input, 5 an internal fault."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, print the runs; returns the exit code."""
    arguments = session.parser("jobs.list", DESCRIPTION)
    flags.add_out(arguments, "where runs were published")
    arguments.add_argument("--last", type=int, default=100, metavar="N", help="show only the newest N runs")
    given = arguments.parse_args(argv)

    def work() -> Mapping[str, Any]:
        from mnist_batch.errors import InputError
        from mnist_batch.runs import overview  # after parsing: --help need not wait
        from mnist_batch.store import locations

        if given.last < 1:
            raise InputError(f"--last is {given.last}; it has to be at least 1")
        runs = overview.overview(given.out)
        if not runs:
            raise InputError(f"--out {given.out!r}: there is no run; {locations.what_to_check(given.out)}")
        shown = runs[-given.last :]
        if len(shown) < len(runs):
            print(f"the newest {len(shown):,} of {len(runs):,} runs:")
        print(overview.text(shown))
        states = {state: sum(run["state"] == state for run in runs) for state in sorted({run["state"] for run in runs})}
        return {"runs": len(runs), "states": states, "newest": shown}

    return session.run(work)


if __name__ == "__main__":
    session.leave(main)
