"""How long it takes to tell new scans from known ones, and how much memory, in a process that does nothing else.

    python -m benchmarks.ledger --known 1000000 10000000 --new 100000

A ledger of so many scans is made up, in a hundred runs. A listing that has them all, and new scans that are files on
this disk, is then told apart: the known ones are left out, and the bytes of the new ones are read. The same listing
with an empty ledger, from which nothing is left out and of which nothing is read, is the time that listing alone takes
here; it is subtracted. Listing real folders is measured in benchmarks.listing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.listing import peak_megabytes
from mnist_batch.intake import listing, scans
from mnist_batch.models import bundle
from mnist_batch.reports.counting import Counts
from mnist_batch.runs import increments, ledger_files
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Arguments, LimitFacts, ModelFacts, Published

RUNS = 100
SIZES = 400, 100_000  # bytes of scans


def known_rows(first: int, count: int) -> pa.Table:
    """Scans of a listing, ``tables.MANIFEST``: small files, a thousand in a folder."""
    numbers = np.arange(first, first + count)
    names = pa.array([f"{number // 1000:06d}/scan-{number:09d}.png" for number in numbers.tolist()])
    rows: dict[str, Any] = {item.name: pa.nulls(count, item.type) for item in tables.MANIFEST}
    rows |= {"source": pa.array(["/data/scans"] * count), "scan": names, "path": names.cast(pa.binary())}
    rows |= {"size": SIZES[0] + numbers * 7919 % (SIZES[1] - SIZES[0]), "modified_ns": 1_700_000_000 * 10**9 + numbers}
    return tables.table(tables.MANIFEST, rows)


def make(top: Path, known: int, new: int) -> None:
    """Make up the ledger of ``known`` scans, and write ``new`` ones, each of its own bytes."""
    for number in range(RUNS):
        first, last = (known * at // RUNS for at in (number, number + 1))
        run = Run(str(top / "out"), f"night-{number:03d}", "2026-11-21")
        said = published(run, last - first)
        run.commit(said)
        rows = known_rows(first, last - first)
        content = np.random.default_rng(number).bytes(16 * len(rows))
        blocks = pa.table(
            {
                "path": scans.paths_of(rows),
                "size": rows["size"],
                "modified_ns": rows["modified_ns"],
                "content": pa.FixedSizeBinaryArray.from_buffers(
                    pa.binary(16), len(rows), [None, pa.py_buffer(content)]
                ),
                "part": np.arange(len(rows), dtype=np.int32) // 5_000,
                "row": np.arange(len(rows), dtype=np.int32) % 5_000,
                "answered_in": np.full(len(rows), -1, np.int16),
            },
            schema=ledger_files.SCHEMA,
        )
        path = Path(run.root, ledger_files.FOLDER, run.run_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        ledger_files.write(str(path), [blocks], ledger_files.state_of(said), [])
    for number in range(new):
        path = top / f"new/{number // 1000:04d}/{number:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(number.to_bytes(8, "big") * (60 + number % 50))


def published(run: Run, count: int) -> Published:
    """What a run of so many scans says, as far as the ledger asks."""
    facts: dict[str, Any] = {
        **{"run_id": run.run_id, "run_date": run.run_date, "fingerprint": "cafe0123", "listing": "", "sources": ()},
        **{"labels": "none", "engine": "onnx", "preprocessing": 1, "temperature": 1.0, "target_error": None},
        **{"threshold": None, "shard_size": None, "keep_images": False, "limits": LimitFacts(1, 1), "scans": count},
        **{"model": ModelFacts("/m", "d", "a", 0.99), "opened_at": "", "listing_seconds": 0.0, "shards": 1},
        **{"schema_version": tables.VERSION, "versions": {}, "totals": Counts().totals(), "files": ()},
        **{"report_files": (), "arguments": Arguments(None, None, 0, 1.0), "resumed_shards": 0},
        **{"scoring_seconds": 0.0, "publishing_seconds": 0.0, "published_at": ""},
    }
    return Published(**facts)


def measure(top: str, known: int) -> dict[str, float]:
    """Tell the listing apart here: seconds, and the peak of memory, beside that before."""
    walk = listing.list_scans

    def rows(folder: str) -> Iterator[pa.Table]:
        for first in range(0, known, listing.CHUNK):
            yield known_rows(first, min(listing.CHUNK, known - first))
        yield from (pa.Table.from_batches([batch]) for batch in walk([folder]).to_batches())

    def listed(sources: Sequence[str], **given: Any) -> pa.Table:
        return listing._filed(given["sift"](rows(sources[0])))

    listing.list_scans = listed  # type: ignore[assignment] # stands for a walk over ten million files
    command = increments.NewScans(sources=[f"{top}/new"], model=bundle.SHIPPED, out=f"{top}/out")
    before, started = peak_megabytes(), time.monotonic()
    found, _ = command.listed()
    seconds, peak = time.monotonic() - started, peak_megabytes()
    assert command.increment.known == known
    assert len(found) == command.increment.listed - known
    started = time.monotonic()
    for each in rows(f"{top}/new"):
        scans.digest(each.slice(0, 1))
    alone = time.monotonic() - started
    return {
        "known": known,
        "new": len(found),
        "seconds": round(seconds - alone, 1),
        "seconds_of_the_listing": round(alone, 1),
        "megabytes_before": round(before),
        "megabytes_peak": round(peak),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Make each ledger, measure in a process of its own, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--known", type=int, nargs="+", default=[1_000_000, 10_000_000])
    arguments.add_argument("--new", type=int, default=100_000)
    arguments.add_argument("--measure", help=argparse.SUPPRESS)
    given = arguments.parse_args(argv)
    if given.measure:
        print(json.dumps(measure(given.measure, given.known[0])), flush=True)
        return 0
    for known in given.known:
        with tempfile.TemporaryDirectory() as top:
            make(Path(top), known, given.new)
            command = [sys.executable, "-m", "benchmarks.ledger", "--measure", top, "--known", str(known)]
            subprocess.run(command, check=True)  # noqa: S603
    return 0


if __name__ == "__main__":
    sys.exit(main())
