"""Show how one scan is read: where its ink is, what the model sees of it, and what it answers."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnist_batch.statuses import MEANINGS, Status

from . import session

DESCRIPTION = """\
Show how one scan is read: where its ink is, what the model sees of it, and what it answers.

  python -m jobs.inspect scan.png
  python -m jobs.inspect pages.tif --page 2 --out page.png

No Ray is needed. Exit codes: 0 done, 2 bad arguments or input."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, read the page, draw it; returns the exit code."""
    given = _parser().parse_args(argv)
    return session.run(lambda: _inspect(given))


def _parser() -> argparse.ArgumentParser:
    arguments = session.parser("jobs.inspect", DESCRIPTION)
    arguments.add_argument("scan", metavar="SCAN", help="an image file or PDF, by path or URI (s3://...)")
    arguments.add_argument(
        "--page", type=int, default=0, metavar="N", help="page of a PDF or TIFF of several pages, from 0"
    )
    arguments.add_argument("--out", default="inspect.png", metavar="FILE", help="the picture to write, a PNG")
    arguments.add_argument(
        "--model",
        metavar="FOLDER",
        help="the model bundle, a folder that jobs.train wrote; the one in this package if left out",
    )
    return arguments


def _inspect(given: argparse.Namespace) -> Mapping[str, Any]:
    """Read the page, draw it, and print how it is read; returns the facts for the last line."""
    from mnist_batch.models import bundle
    from mnist_batch.pixels import ink, normalising
    from mnist_batch.reading.readings import normalisation_of
    from mnist_batch.reports import inspection

    page = inspection.page_of(given.scan, given.page)
    page_ink = ink.find_ink(page)
    seen, *others = normalising.examine_all(page)
    readings = [each.picture for each in (seen, *others)]
    answers = inspection.answer(readings, given.model or bundle.SHIPPED)
    drawn = inspection.draw(page, page_ink, seen, answers, f"{ascii(given.scan)[1:-1]}, page {given.page}")
    inspection.save(drawn, Path(given.out))

    status = answers.statuses[0]
    summary: dict[str, Any] = {"found": status, "picture": given.out}
    for name, value in inspection.facts(seen).items():
        print(f"{name}: {value}")
    if page.ndim == 3:
        print("two inks of unlike colour: what the pen wrote is the likelier reading")
    if others:
        print(f"readings of the ink: {len(readings)}; shown is the likeliest, and the answer weighs them all")
    if (done := normalisation_of(seen)) is not None:
        summary["normalisation"] = done
    if status != Status.OK:
        print(f"{status}: {MEANINGS[status]}")
        return summary
    digit, confidence = int(answers.digit[0]), float(answers.confidence[0])
    print(f"answer: {digit} (confidence {confidence:.4f})")
    return summary | {"digit": digit, "confidence": confidence, "probabilities": answers.probabilities[0].tolist()}


if __name__ == "__main__":
    session.leave(main)
