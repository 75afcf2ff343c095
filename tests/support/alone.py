"""Scoring without any other process: this one does what the actors do, whatever there is to score, and draws nothing.

python -m tests.support.alone SCANS MODEL OUT SHARD_SIZE
"""

import sys
from collections.abc import Iterator
from typing import Any

from mnist_batch import scoring
from mnist_batch.errors import JobError
from mnist_batch.models.answers import ModelSpec
from mnist_batch.pipeline import actors
from mnist_batch.pipeline.settings import Settings
from mnist_batch.reading import form_pages, preprocessing
from mnist_batch.reports import plots, report
from mnist_batch.runs import opening
from mnist_batch.runs.command import Command
from mnist_batch.schemas.facts import Opened, Receipt

UNDRAWN = dict.fromkeys(("heatmap", "reliability", "risk"), b"\x89PNG")


def run_here(run: Any, opened: Opened, pending: Any, _: Settings) -> Iterator[Receipt]:
    """In place of ``scoring.run_here``: this process reads the scans, too."""
    limits = preprocessing.Limits(opened.limits.max_bytes, opened.limits.max_pixels)
    spec = ModelSpec(opened.model.location, opened.model.digest, opened.engine, opened.asks_first)
    with_forms = bool(opened.forms)
    rule = {"by_source": opened.by_source, "field_thresholds": opened.field_thresholds}
    classify = actors.Classify(run, spec, opened.threshold, with_forms=with_forms, **rule)
    references = form_pages.prepare(opened.forms)
    for number in pending:
        pages = preprocessing.preprocess(run.shard(number), number, limits, references=references)
        [receipt] = classify(pages).to_pylist()
        yield Receipt(**receipt)


def main() -> int:
    """Score as ``jobs.score`` does; returns the exit code."""
    scans, model, out, shard_size = sys.argv[1:]
    scoring.run_here = run_here
    Settings.scored_here = lambda *_: True
    plots.import_ahead = lambda: None
    report._pictures = lambda *_: UNDRAWN
    try:
        asked = Command(sources=[scans], model=model, out=out, shard_size=int(shard_size), run_id="night")
        with opening.open_run(asked) as run:
            scoring.score(run)
    except JobError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
