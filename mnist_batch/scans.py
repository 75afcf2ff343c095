"""What a scan is: list sources or read a manifest, attach labels, cut into shards."""

import hashlib
import os
import posixpath
import re
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice, pairwise

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pyarrow import fs

from mnist_batch import locations, tables
from mnist_batch.errors import InputError

SHARD_SIZE = 5_000
MAX_SHARDS = 2_000  # analysts never meet a million small files
CHUNK = 50_000  # scans that are held as Python's objects at once

Row = tuple[str, str, bytes, int | None, int | None]  # source, scan, path, size, modified_ns


def list_scans(sources: Sequence[str], argument: str = "SCANS") -> pa.Table:
    """Every file at or below the sources, in a fixed order, as a table of ``tables.MANIFEST`` without labels.

    The table lies in a file, and no more of it than is looked at in memory. A source is a folder or a file, by path
    or URI. Whatever is not a folder is listed, links and pipes included, so that it ends as a row; no link is
    followed. Raises InputError, naming ``argument``, for a source that is not there, or is listed twice.
    """
    roots = sorted((locations.absolute(source) for source in sources), key=lambda root: root.rstrip("/") + "/")
    for outer, inner in pairwise(roots):
        if inner == outer or inner.startswith(outer.rstrip("/") + "/"):
            raise InputError(f"{argument} overlap: {inner!r} is at or below {outer!r}; name each scan once")
    for root in roots:
        filesystem, path = locations.resolve(root)
        if not (locations.exists(filesystem, path) or (not locations.is_uri(root) and os.path.lexists(path))):
            raise InputError(f"{argument}: there is no file or folder {root!r}; check the path")
    rows = chain.from_iterable(_walk_remote(root) if locations.is_uri(root) else _walk_local(root) for root in roots)
    with tempfile.NamedTemporaryFile() as file:
        with pa.OSFile(file.name, "wb") as sink, pa.ipc.new_file(sink, tables.MANIFEST) as writer:
            while chunk := list(islice(rows, CHUNK)):
                with locations.told(file.name):
                    writer.write_table(_manifest(chunk))
        return pa.ipc.open_file(pa.memory_map(file.name)).read_all()


def _manifest(rows: Sequence[Row]) -> pa.Table:
    source, scan, path, size, modified = zip(*rows, strict=True)
    columns = {"source": source, "scan": scan, "path": path, "size": size, "modified_ns": modified}
    return tables.table(tables.MANIFEST, columns | {"label": pa.nulls(len(rows), pa.int8())})


def _walk_local(root: str) -> Iterator[Row]:
    if not os.path.isdir(root):
        folder, name = os.path.split(path := os.fsencode(root))
        yield _text(folder), _text(name), path, *_examine(_text(folder), path)
        return
    top = os.fsencode(root)
    source = _text(top)
    folders = [top]
    while folders:
        folder = folders.pop()
        files: list[bytes] = []  # names alone: the entries of a large folder are many times their size
        below: list[bytes] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    (below if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
        except OSError:
            yield source, _text(os.path.relpath(folder, top)) + "/", folder, None, None
            continue
        inside = folder.rstrip(b"/") + b"/"
        for name in sorted(files):
            path = inside + name
            yield source, _text(path[len(top) :].lstrip(b"/")), path, *_examine(source, path)
        folders.extend(os.path.join(folder, name) for name in sorted(below, reverse=True))


def _walk_remote(root: str) -> Iterator[Row]:
    filesystem, top = locations.resolve(root)
    info = filesystem.get_file_info(top)
    if info.type == fs.FileType.Directory:
        found = filesystem.get_file_info(fs.FileSelector(top, recursive=True))
    else:
        found, root, top = [info], root.rpartition("/")[0], top.rpartition("/")[0]
    for entry in sorted(found, key=lambda entry: entry.path):
        if entry.type != fs.FileType.Directory:
            yield root, entry.path[len(top) :].lstrip("/"), entry.path.encode(), entry.size, entry.mtime_ns


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def read_manifest(location: str) -> pa.Table:
    """The scans that a Parquet file names, as a table of ``tables.MANIFEST``.

    Columns: ``scan``, a path below ``source`` where the file has that column, else below the file's own
    folder (or absolute); and ``label`` if there are any. Raises InputError where the file breaks a rule.
    """
    given = _read_table("--manifest", location)
    _need_columns("--manifest", location, given, ["scan"])
    folder = locations.absolute(location).rpartition("/")[0]
    scans = _strings("--manifest", location, given, "scan")
    sources = _strings("--manifest", location, given, "source") if "source" in given.column_names else None
    rows: list[Row] = []
    seen: dict[bytes, int] = {}
    for row, scan in enumerate(scans, start=1):
        source = locations.absolute(sources[row - 1]) if sources else folder
        if locations.is_uri(scan):
            scheme, _, rest = scan.partition("://")
            source, scan = f"{scheme}://{rest.partition('/')[0]}", rest.partition("/")[2]
        elif scan.startswith("/"):
            source, scan = "/", scan.lstrip("/")
        if ".." in scan.split("/") or "\0" in scan:
            raise InputError(f"--manifest {location}, row {row}: {scan!r} leaves its source; name it directly")
        path = path_of(source, posixpath.normpath(scan))
        if (first := seen.setdefault(path, row)) != row:
            raise InputError(f"--manifest {location}, row {row}: {scan!r} stands in row {first} already")
        rows.append((source, scan, path, *_examine(source, path)))
    columns: list[Sequence[object]] = list(zip(*rows, strict=True)) or [[]] * 5
    labels = _digits("--manifest", location, given) if "label" in given.column_names else pa.nulls(len(rows))
    names = ("source", "scan", "path", "size", "modified_ns", "label")
    return tables.table(tables.MANIFEST, dict(zip(names, [*columns, labels], strict=True)))


def _examine(source: str, path: bytes) -> tuple[int | None, int | None]:
    if locations.is_uri(source):
        info = locations.resolve(source)[0].get_file_info(path.decode())
        return info.size, info.mtime_ns
    try:
        status = os.lstat(path)
    except OSError:
        return None, None
    return status.st_size, status.st_mtime_ns


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
    given = _read_table("--labels", labels)
    _need_columns("--labels", labels, given, ["scan", "label"])
    names, digits = _strings("--labels", labels, given, "scan"), _digits("--labels", labels, given)
    by_name: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for source, scan in listed:
        by_name[scan].add((source, scan))
        by_name[f"{source.rstrip('/')}/{scan}"].add((source, scan))
    truth: dict[tuple[str, str], int] = {}
    for row, (name, digit) in enumerate(zip(names, digits, strict=True), start=1):
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


def path_of(source: str, scan: str) -> bytes:
    """The path to open for a scan below its source, inside the source's file system."""
    _, top = locations.resolve(source)
    return f"{top.rstrip('/')}/{scan}".encode()


def identities(rows: pa.Table) -> list[tuple[str, str]]:
    """The (source, scan) of each row."""
    return list(zip(rows["source"].to_pylist(), rows["scan"].to_pylist(), strict=True))


def _read_table(argument: str, location: str) -> pa.Table:
    filesystem, path = locations.resolve(location)
    try:
        if path.endswith(".csv"):
            with filesystem.open_input_stream(path) as stream:
                return pyarrow.csv.read_csv(
                    stream, convert_options=pyarrow.csv.ConvertOptions(column_types={"scan": pa.string()})
                )
        return pq.read_table(path, filesystem=filesystem, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{argument} {location}: not a readable CSV or Parquet file ({error})") from None


def _need_columns(argument: str, location: str, given: pa.Table, names: list[str]) -> None:
    for name in names:
        if name not in given.column_names:
            raise InputError(f"{argument} {location}: needs a column {name!r}; it has {given.column_names}")
    if not given.num_rows:
        raise InputError(f"{argument} {location}: has no row; leave the argument out, or see who made the file")


def _strings(argument: str, location: str, given: pa.Table, name: str) -> list[str]:
    values: list[str] = given[name].to_pylist()
    for row, value in enumerate(values, start=1):
        if not isinstance(value, str) or not value:
            raise InputError(f"{argument} {location}, row {row}: {name} is {value!r}; it has to be a text")
    return values


def _digits(argument: str, location: str, given: pa.Table) -> list[int | None]:
    values = given["label"].to_pylist()
    for row, value in enumerate(values, start=1):
        # pandas writes an integer column with gaps as 3.0
        if value is not None and not re.fullmatch(r"[0-9](\.0)?", str(value)):
            raise InputError(f"{argument} {location}, row {row}: label is {value!r}; it has to be 0 to 9")
    return [None if value is None else int(float(value)) for value in values]


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
        hashes = pd.util.hash_pandas_object(batch.to_pandas(), index=False)
        total.update(hashes.to_numpy().tobytes())
    return total.hexdigest()
