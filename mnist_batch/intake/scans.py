"""What is said of listed scans: their labels, their shards, their digest."""

import hashlib
import logging
import os
import posixpath
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa

from mnist_batch.errors import InputError
from mnist_batch.intake import scan_names, user_tables
from mnist_batch.schemas import tables
from mnist_batch.store import locations

SHARD_SIZE = 5_000
MAX_SHARDS = 2_000  # analysts never meet a million small files
CHUNK = 50_000  # scans that are held as Python's objects at once
DIGITS = {str(digit): digit for digit in range(tables.CLASSES)}  # the labels of folders to learn from, by their names
FOLDERS = {**DIGITS, "none": tables.NO_DIGIT}  # and of those that are scored

log = logging.getLogger(__name__)


def attach_labels(manifest: pa.Table, labels: str, ignore_unlisted: bool = False) -> pa.Table:
    """The manifest with its ``label`` column filled.

    ``none`` leaves it as it is, ``parent`` takes the name of the folder a scan is in, where that is 0 to 9 or none,
    anything else is a CSV or Parquet file with columns ``scan,label``. Raises InputError where the labels
    contradict each other or the listing.
    """
    if labels == "none":
        return manifest
    if labels == "parent":
        found = parent_labels(manifest, FOLDERS)
        if len(found) and found.null_count == len(found):
            raise InputError(_no_parent(manifest["path"][0].as_py()))
    else:
        listed = identities(manifest)
        truth = match_labels(listed, labels, ignore_unlisted)
        found = pa.array([truth.get(key) for key in listed], pa.int8())
    return manifest.set_column(manifest.schema.get_field_index("label"), tables.MANIFEST.field("label"), found)


def _no_parent(path: bytes) -> str:
    return (
        f"--labels parent: no scan is in a folder named 0 to 9, or none; one is {os.fsdecode(path)!r}. Leave --labels "
        "out where the truth is not known, or give a file with columns scan,label"
    )


def truth_of(
    listed: Collection[tuple[str, str]], labels: str, ignore_unlisted: bool = False
) -> dict[tuple[str, str], int]:
    """The label of each (source, scan) that has one, from a file or, with ``parent``, its folder's name."""
    if labels != "parent":
        return match_labels(listed, labels, ignore_unlisted)
    paths = [path_of(*key) for key in listed]
    digits = parent_labels(pa.table({"path": pa.chunked_array([pa.array(paths, pa.binary())])}), FOLDERS).to_pylist()
    truth = {key: digit for key, digit in zip(listed, digits, strict=True) if digit is not None}
    if paths and not truth:
        raise InputError(_no_parent(paths[0]))
    return truth


def parent_labels(manifest: pa.Table, names: Mapping[str, int] = DIGITS) -> pa.ChunkedArray:
    """The label that the folder each scan is in stands for by its name, in any case of letters, else null, as int8."""
    labels = []
    for chunk in manifest["path"].chunks:  # not all of them as Python's objects at once
        folders = (os.fsdecode(os.path.basename(os.path.dirname(path))) for path in chunk.to_pylist())
        labels.append([names.get(folder.lower()) for folder in folders])
    return pa.chunked_array(labels, pa.int8())


def match_labels(
    listed: Collection[tuple[str, str]], labels: str, ignore_unlisted: bool = False
) -> dict[tuple[str, str], int]:
    """The label of each scan that a file names; ``listed`` and the keys are (source, scan).

    ``labels`` is a CSV or Parquet file with columns ``scan,label``, where a scan may have any name of ``ScanNames``;
    a column ``source`` tells scans of the same name apart, as in the tables that a run publishes.
    A scan without a label is left out; so, with ``ignore_unlisted``, is one that is not listed: the log counts them.
    Raises InputError, naming the first offending line, for an unknown or ambiguous scan, a second label for a scan
    and a label that is none, and where no row has a label.
    """
    named, truth = scan_names.ScanNames(listed), dict[tuple[str, str], int]()
    rows_read = unlisted = 0
    for rows in user_tables.read("--labels", labels, ["scan", "label"], ["source"]):
        sources = rows.columns.get("source", [None] * len(rows.numbers))
        for at, (name, source, digit) in enumerate(zip(rows.texts("scan"), sources, rows.digits(), strict=True)):
            key = (source, name) if named.has(source, name) else named.scan_of(rows.where(at), name)
            rows_read += 1
            if key is None:
                if not ignore_unlisted:
                    raise InputError(_unlisted(rows.where(at), name, named))
                unlisted += 1
            elif key in truth and digit is not None:
                named.check()
                raise InputError(f"{rows.where(at)}: {name!r} is labelled {_both(truth[key], digit)}; keep one row")
            elif digit is not None:
                truth[key] = digit
    named.check()
    if unlisted:
        log.log(
            logging.INFO if truth else logging.WARNING,
            "--labels %s: %s of its %s rows name scans that are not listed; they are ignored",
            labels, f"{unlisted:,}", f"{rows_read:,}",
        )  # fmt: skip
    elif not truth:
        raise InputError(f"--labels {labels}: no row has a label; fill in the column, or leave the argument out")
    return truth


def _unlisted(where: str, name: str, named: scan_names.ScanNames) -> str:
    example = named.example(name)
    message = f"{where}: no scan {name!r} is listed; give its path below its source"
    if example:
        message += f", as {example!r} is one"
    if re.search(r"\\x[0-9a-f]{2}", name):
        message += "; where letters are \\xNN, the file is not UTF-8: save it so"
    return f"{message}. With --ignore-unlisted-labels such rows are ignored and counted"


def _both(first: int, second: int) -> str:
    one, other = ("none" if digit == tables.NO_DIGIT else str(digit) for digit in (first, second))
    return f"{one} twice" if one == other else f"{one} and {other}"


def path_of(source: str, scan: str) -> bytes:
    """The path to open for a scan, inside the file system of its source: below it, unless it is ``rooted``."""
    source, scan = rooted(scan) or (source, scan)
    return f"{_inside(source)}/{posixpath.normpath(scan)}".encode()


def rooted(scan: str) -> tuple[str, str] | None:
    """The root of a scan that is named by its full path or URI, and its path below that; None of any other."""
    if scan.startswith("/"):
        return "/", scan.lstrip("/")
    if scan.startswith("file:///"):
        return "/", unquote(scan.removeprefix("file://")).lstrip("/")
    if "://" in scan and locations.is_uri(scan):
        scheme, _, rest = scan.partition("://")
        bucket, _, path = rest.partition("/")
        return f"{scheme}://{bucket or '/'}", path
    return None


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
