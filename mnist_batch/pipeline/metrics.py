"""What runs tell Ray's metrics, which Prometheus reads: rows by status, bytes, shards, seconds, retries, likeness."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pyarrow as pa

from mnist_batch.store import retry

# Ray puts ray_ before each name, and Prometheus _total behind that of a counter.
COUNTERS = {
    "mnist_batch_rows": ("rows written, by their status", ("status",)),
    "mnist_batch_bytes": ("bytes of the scans that were read", ()),
    "mnist_batch_shards": ("shards whose part is written", ()),
    "mnist_batch_retries": (
        "what was done again: request, a request to a store that had failed, on top of what the store's client repeats "
        "by itself; or scan, a scan that was read again since the process that read it had died",
        ("what",),
    ),
    "mnist_batch_seconds": ("seconds of work, by the stage that they went into: read or classify", ("stage",)),
}
GAUGES = {"mnist_batch_unlike": ("1 if the last run was unlike its calibration, 0 if it was not", ())}


def _in_ray() -> bool:
    ray = sys.modules.get("ray")  # a process that runs in Ray has imported it
    return ray is not None and ray.is_initialized()


@cache
def _metric(name: str) -> Any:
    from ray.util.metrics import Counter, Gauge

    kind, (description, tags) = (Counter, COUNTERS[name]) if name in COUNTERS else (Gauge, GAUGES[name])
    return kind(name, description, tags)


def count(name: str, number: float, **tags: str) -> None:
    """Add to a counter; nothing happens outside Ray."""
    if number > 0 and _in_ray():
        _metric(name).inc(number, tags)


def count_rows(rows: pa.Table) -> None:
    """Count the rows of a part, by their status, and the part."""
    for found in rows["status"].cast(pa.string()).value_counts().to_pylist():
        count("mnist_batch_rows", found["counts"], status=found["values"])
    count("mnist_batch_shards", 1)


def count_repeated_requests() -> None:
    """Have this process count the requests to stores that it repeats."""
    retry.count_by(lambda requests: count("mnist_batch_retries", requests, what="request"))


def show_unlike(unlike: bool) -> None:
    """Show whether a run is unlike its calibration; nothing happens outside Ray."""
    if _in_ray():
        _metric("mnist_batch_unlike").set(float(unlike))


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Count the seconds of the block as those of a stage."""
    started = time.monotonic()
    yield
    count("mnist_batch_seconds", time.monotonic() - started, stage=stage)
