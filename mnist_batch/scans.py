"""What is said of listed scans: their labels, their shards, their digest."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Iterator
from functools import lru_cache

import pandas as pd
import pyarrow as pa

from mnist_batch import locations, tables, user_tables
from mnist_batch.errors import InputError

SHARD_SIZE = 5_000
MAX_SHARDS = 2_000  # analysts never meet a million small files
CHUNK = 50_000  # scans that are held as Python's objects at once


def attach_labels(manifest: pa.Table, labels: str) -> pa.Table:
    """The manifest with its ``label`` column filled.

    ``none`` leaves it as it is, ``parent`` takes the name of the folder a scan is in, where that is 0 to 9,
    anything else is a CSV or Parquet file with columns ``scan,label``. Raises InputError where the labels
    contradict each other or the listing.
    """
    if labels == "none":
        return manifest
    if labels == "parent":
        found = parent_labels(manifest)
        if len(found) and found.null_count == len(found):
            raise InputError("--labels parent: no scan is in a folder named 0 to 9; give a label file, or none")
    else:
        listed = identities(manifest)
        truth = match_labels(listed, labels)
        found = pa.array([truth.get(key) for key in listed], pa.int8())
    return manifest.set_column(manifest.schema.get_field_index("label"), tables.MANIFEST.field("label"), found)


def parent_labels(manifest: pa.Table) -> pa.ChunkedArray:
    """The name of the folder each scan is in where that is 0 to 9, else null, as int8."""
    labels = []
    for chunk in manifest["path"].chunks:  # not all of them as Python's objects at once
        folders = (os.path.basename(os.path.dirname(path)) for path in chunk.to_pylist())
        labels.append([int(name) if len(name) == 1 and name.isdigit() else None for name in folders])
    return pa.chunked_array(labels, pa.int8())


def match_labels(listed: Collection[tuple[str, str]], labels: str) -> dict[tuple[str, str], int]:
    """The label of each scan that a file names; ``listed`` and the keys are (source, scan).

    ``labels`` is a CSV or Parquet file with columns ``scan,label``, a scan being its path below its source or
    ``source/scan``. Raises InputError, naming the first offending row, for an unknown or ambiguous scan, a
    second label for a scan and a label outside 0 to 9.
    """
    by_name: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for source, scan in listed:
        by_name[scan].add((source, scan))
        by_name[f"{source.rstrip('/')}/{scan}"].add((source, scan))
    truth: dict[tuple[str, str], int] = {}
    for row, name, digit in _labelled(labels):
        where = f"--labels {labels}, row {row}"
        if digit is None:
            raise InputError(f"{where}: {name!r} has no label; leave the row out")
        if name not in by_name:
            raise InputError(f"{where}: no scan {name!r} is listed; give its path below its source")
        if len(by_name[name]) > 1:
            raise InputError(f"{where}: several sources have a scan {name!r}; give its full path")
        [key] = by_name[name]
        if key in truth:
            also = f"labelled {truth[key]} and {digit}" if truth[key] != digit else f"labelled {digit} twice"
            raise InputError(f"{where}: {name!r} is {also}; keep one row, the true one")
        truth[key] = digit
    return truth


def _labelled(labels: str) -> Iterator[tuple[int, str, int | None]]:
    where = f"--labels {labels}"
    for first, rows in user_tables.read("--labels", labels, ["scan", "label"]):
        names, digits = user_tables.texts(where, first, rows, "scan"), user_tables.digits(where, first, rows)
        yield from zip(range(first, first + len(rows)), names, digits, strict=True)


def path_of(source: str, scan: str) -> bytes:
    """The path to open for a scan below its source, inside the source's file system."""
    return f"{_inside(source)}/{scan}".encode()


@lru_cache(1_000)  # asked for every scan
def _inside(source: str) -> str:
    return locations.resolve(source)[1].rstrip("/")


def identities(rows: pa.Table) -> list[tuple[str, str]]:
    """The (source, scan) of each row."""
    return list(zip(rows["source"].to_pylist(), rows["scan"].to_pylist(), strict=True))


def cut(manifest: pa.Table, shard_size: int | None = None) -> list[pa.Table]:
    """The manifest in shards of ``shard_size`` scans, the last one shorter.

    The default is 5,000 scans, or a two-thousandth of all where there are more than ten million.
    """
    size = shard_size or max(SHARD_SIZE, -(-manifest.num_rows // MAX_SHARDS))
    return [manifest.slice(start, size) for start in range(0, manifest.num_rows, size)]


def digest(manifest: pa.Table) -> str:
    """What the sources list, in 32 hex digits: names, sizes, times and labels of all scans, in order."""
    total = hashlib.blake2b(digest_size=16)
    for batch in manifest.to_batches(max_chunksize=CHUNK):  # as pandas a batch is many times its size
        hashes = pd.util.hash_pandas_object(batch.to_pandas(), index=False, categorize=False)
        total.update(hashes.to_numpy().tobytes())
    return total.hexdigest()
