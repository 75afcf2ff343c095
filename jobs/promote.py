"""Make a model bundle the current one of an output, or go back to the one before it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from . import flags, session

DESCRIPTION = """\
Make a model bundle the current one of an output: jobs that are given no --model use it from then on.

  python -m jobs.promote models/ours --out out
  python -m jobs.promote --back --out out

Without a bundle or --back it shows which model is the current one. Before you promote a bundle, score the same scans
with both and compare the runs (jobs.compare). The same command after a promotion is another run, by the new model; to
finish one that was begun before, name its model with --model. Ray is not needed.
Exit codes: 0 done, 2 bad arguments or input, 5 an internal fault, 75 another process promotes a model."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, promote; returns the exit code."""
    arguments = session.parser("jobs.promote", DESCRIPTION)
    arguments.add_argument("bundle", nargs="?", metavar="BUNDLE", help="the model bundle, a folder or a URI")
    arguments.add_argument("--back", action="store_true", help="undo the last promotion")
    flags.add_out(arguments, "the output whose runs follow")
    given = arguments.parse_args(argv)
    if given.back and given.bundle:
        arguments.error(f"--back takes no bundle, and {given.bundle!r} is given; leave one of them out")

    def work() -> Mapping[str, Any]:
        from mnist_batch.runs import promoting  # after parsing: --help need not wait
        from mnist_batch.store import locations

        locations.reach("--out", given.out)
        if given.back:
            known = promoting.back(given.out)
        elif given.bundle:
            known = promoting.promote(given.out, given.bundle)
        else:
            known = promoting.read(given.out)
        if (current := known.current) is None:
            print(f"the current model of {given.out} is the one in this package")
        else:
            print(f"the current model of {given.out}: {current.architecture} {current.digest} at {current.location}")
            print(
                f"promoted {current.at}{f' by {current.by}' if current.by else ''}; undo: "
                f"python -m jobs.promote --back --out {given.out}"
            )
        return {"current": asdict(current) if current else None, "promoted_before": len(known.promoted[:-1])}

    return session.run(work)


if __name__ == "__main__":
    session.leave(main)
