"""Calibrate a model on your own scans: a bundle whose promise rests on the labelled answers of a published run."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import flags, session

DESCRIPTION = """\
Calibrate the model of a published run by the run's labelled answers, and save it as a model bundle.

  python -m jobs.calibrate --out out --run 2026-11-21-1a2b3c4d --labels truth.csv --to models/ours
  python -m jobs.score forms/ --model models/ours --target-error 0.01 --out out

The weights stay as they are. Confidence, and what --target-error accepts, then rest on your own scans. Label
all scans of a run, or a random sample of them: some hundred for an error of 0.01, some thousand for 0.002.
Exit codes: 0 done, 2 bad arguments or input, 5 an internal fault."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, calibrate, save the bundle; returns the exit code."""
    arguments = session.parser("jobs.calibrate", DESCRIPTION)
    flags.add_out(arguments, "where the run was published")
    flags.add_run(arguments)
    arguments.add_argument("--to", required=True, metavar="FOLDER", help="where the bundle goes; nothing may be there")
    flags.add_labels(arguments)
    arguments.add_argument(
        "--model",
        metavar="FOLDER",
        help="the model that answered the run, if it has moved; the one that the run names if left out",
    )
    arguments.add_argument(
        "--by",
        choices=("source",),
        help="source: also thresholds for each source of the run, of its answers and of its fields; jobs.score uses "
        "them for scans of the same source",
    )
    given = arguments.parse_args(argv)

    def work() -> Mapping[str, Any]:
        from mnist_batch import calibration

        made = calibration.calibrate(
            given.out,
            given.run,
            given.to,
            labels=given.labels,
            ignore_unlisted_labels=given.ignore_unlisted_labels,
            model=given.model,
            by_source=given.by == "source",
        )
        print(calibration.text(*made.facts.calibrations))
        print(f"bundle: {made.location}")
        return calibration.summary(made)

    return session.run(work)


if __name__ == "__main__":
    session.leave(main)
