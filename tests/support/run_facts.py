"""What runs say of themselves, for tests that score nothing."""

from dataclasses import replace
from typing import Any

import pyarrow as pa

from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.reports.counting import Counts
from mnist_batch.runs import parts
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Arguments, LimitFacts, ModelFacts, Opened, Published, Receipt

OF_RUN: dict[str, Any] = {
    "run_id": "night",
    "run_date": "2026-11-21",
    "fingerprint": "cafe0123",
    "listing": "x",
    "sources": ("/in",),
    "labels": "none",
    "engine": "onnx",
    "preprocessing": 1,
    "temperature": 1.0,
    "target_error": None,
    "threshold": None,
    "shard_size": None,
    "keep_images": False,
    "limits": LimitFacts(2**26, 40_000_000),
    "model": ModelFacts("/m", "d", "a", 0.99),
    "scans": 0,
    "left_out": {},
    "opened_at": "2026-11-21T22:00:00.000+00:00",
    "listing_seconds": 0.1,
    "schema_version": tables.VERSION,
}


def opened(shard_sizes: tuple[int, ...] = (), **facts: Any) -> Opened:
    """A run that was opened with shards of so many scans."""
    return Opened(**OF_RUN | {"shard_sizes": shard_sizes, "scans": sum(shard_sizes)} | facts)


def published(**facts: Any) -> Published:
    """A published run, of no scans unless ``facts`` say otherwise."""
    of_report = {
        "shards": 1,
        "versions": {"python": "3.11.7"},
        "totals": Counts().totals(),
        "files": (),
        "report_files": (),
        "arguments": Arguments(None, None, 0, 1.0),
        "resumed_shards": 0,
        "scoring_seconds": 1.5,
        "publishing_seconds": 0.5,
        "published_at": "2026-11-21T23:00:00.000+00:00",
    }
    return Published(**OF_RUN | of_report | facts)


def frozen(run: Run, shards: list[pa.Table], **facts: Any) -> Run:
    """The run with these shards as its manifest."""
    sizes = tuple(len(shard) for shard in shards)
    run.freeze(shards, opened(sizes, run_id=run.run_id, run_date=run.run_date, **facts))
    return run


def commit(run: Run, **facts: Any) -> Published:
    """Make a run published; returns what its run.json says."""
    said = published(run_id=run.run_id, run_date=run.run_date, **facts)
    run.commit(said)
    return said


def write_part(run: Run, rows: pa.Table) -> Receipt:
    """Write the part of these rows, as Classify does."""
    gathered = Aggregates.of_run(None)
    gathered.add(rows)
    return parts.write_part(run, rows, gathered.table())


def with_totals(said: Published, **totals: Any) -> Published:
    """What a run says, with other totals."""
    return replace(said, totals=replace(said.totals, **totals))
