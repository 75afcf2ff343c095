"""Listed scans: their paths, the keys of their rows, their shards and their digest."""

import hashlib
import json
import posixpath
from functools import lru_cache
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mnist_batch.schemas import tables
from mnist_batch.store import locations

SHARD_SIZE = 5_000
PAGES_IN_A_SHARD = 100  # scans in a shard of forms, each of which may be a file of many pages
MAX_SHARDS = 2_000  # so that analysts do not meet a million small files
OF_ALL = ("source", "scan", "path", "size", "modified_ns", "label")  # columns of the manifest that no listing lacks
CHUNK = 50_000  # scans held as Python objects at once


def path_of(source: str, scan: str) -> bytes:
    """The path to open for a scan, within the file system of its source: below the source unless it is ``rooted``."""
    source, scan = rooted(scan) or (source, scan)
    return f"{_inside(source)}/{posixpath.normpath(scan)}".encode()


def rooted(scan: str) -> tuple[str, str] | None:
    """The root of a scan that is named by its full path or URI, and its path below it; None for any other name."""
    if scan.startswith("/"):
        return "/", scan.lstrip("/")
    if scan.startswith("file:///"):
        return "/", unquote(scan.removeprefix("file://")).lstrip("/")
    if "://" in scan and locations.is_uri(scan):
        scheme, _, rest = scan.partition("://")
        bucket, _, path = rest.partition("/")
        return f"{scheme}://{bucket or '/'}", path
    return None


@lru_cache(1_000)  # called for every scan
def _inside(source: str) -> str:
    return locations.resolve(source)[1].rstrip("/")


def identities(rows: pa.Table) -> list[tuple[str, str]]:
    """The (source, scan) of each row."""
    return list(zip(rows["source"].to_pylist(), rows["scan"].to_pylist(), strict=True))


def paths_of(rows: pa.Table) -> NDArray[np.uint64]:
    """A number for the location of each scan, by its source and its name below it: uint64 (N,).

    Two locations have the same number once in 2**64 pairs, and it counts only if size and time are the same, too.
    """
    names = pc.binary_join_element_wise(
        pc.utf8_rtrim(rows["source"].cast(pa.string()), "/"), rows["scan"].cast(pa.string()), "/"
    )
    chunks = [pd.util.hash_array(chunk.to_numpy(zero_copy_only=False), categorize=False) for chunk in names.chunks]
    return np.concatenate([np.empty(0, np.uint64), *chunks])


def keys(rows: pa.Table) -> list[tuple[str, str, int]]:
    """The ``tables.KEY`` of each row."""
    return list(zip(*(rows[name].to_pylist() for name in tables.KEY), strict=True))


def cut(manifest: pa.Table, shard_size: int | None = None) -> list[pa.Table]:
    """The manifest in shards of ``shard_size`` scans, the last one shorter.

    The default is 5,000 scans, or a two-thousandth of all where there are more than ten million.
    """
    size = shard_size or max(SHARD_SIZE, -(-manifest.num_rows // MAX_SHARDS))
    return [manifest.slice(start, size) for start in range(0, manifest.num_rows, size)]


def digest(manifest: pa.Table) -> str:
    """The digest of a listing, 32 hex digits: of the names, sizes, times, labels and copies of all scans, in order."""
    total = hashlib.blake2b(digest_size=16)
    for batch in manifest.to_batches(max_chunksize=CHUNK):  # in pandas a batch takes many times its size
        of_scans = batch.select([*OF_ALL]).to_pandas()
        total.update(pd.util.hash_pandas_object(of_scans, index=False, categorize=False).to_numpy().tobytes())
        for name in batch.schema.names:
            if name not in OF_ALL and batch[name].null_count < len(batch):
                total.update(json.dumps(batch[name].to_pylist(), default=bytes.hex).encode())
    return total.hexdigest()
