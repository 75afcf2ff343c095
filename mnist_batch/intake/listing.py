"""List the scans: everything below the sources, or what a manifest names."""

import os
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, groupby, islice, pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import fs

from mnist_batch.errors import InputError
from mnist_batch.intake import scans, store_folders, user_tables
from mnist_batch.intake.selecting import EVERYTHING, Selection, Tally
from mnist_batch.intake.store_folders import Folder as Folder
from mnist_batch.schemas import tables
from mnist_batch.store import changing, locations

CHUNK = 50_000  # scans that are held as Python's objects at once
ALONE = 500_000  # scans; above this, cluster tasks list the rest: starting them costs as much as listing this many
SHARE = 100_000  # scans after which a task returns, with the folders that it has not reached
LISTERS = 64

Row = tuple[str, str, bytes, int | None, int | None]  # source, scan, path, size, modified_ns
Listed = tuple[pa.Table, list[Folder], Tally]  # scans, the folders that come after them, and what was left out
Ask = Callable[[list[Folder], Selection], "Future[Listed]"]
Sift = Callable[[Iterable[pa.Table]], Iterable[pa.Table]]


def list_scans(
    sources: Sequence[str],
    argument: str = "SCANS",
    ask: Ask | None = None,
    selection: Selection = EVERYTHING,
    tally: Tally | None = None,
    sift: Sift = iter,
) -> pa.Table:
    """List every scan at or below the sources, in a fixed order, as a table of ``tables.MANIFEST`` without labels.

    A source is a folder or a file, by path or URI. Whatever is not a folder is listed, links and pipes included, so
    that it becomes a row; no link is followed. What the ``selection`` leaves out is counted in ``tally``. Above
    ``ALONE`` scans, ``ask`` makes others run ``list_some`` on the remaining folders, many at once; the table is the
    same. ``sift`` may leave out scans of the tables that it is given. The result lies in a memory-mapped file, so that
    a long listing does not fill the memory. Raises InputError, naming ``argument``, for a source that is missing or
    listed twice, and StorageError if a remote store does not answer.
    """
    roots = sorted((locations.absolute(source) for source in sources), key=lambda root: root.rstrip("/") + "/")
    for outer, inner in pairwise(roots):
        if inner == outer or inner.startswith(outer.rstrip("/") + "/"):
            raise InputError(f"{argument} overlap: {inner!r} is at or below {outer!r}; name each scan once")
    left: list[Folder] = []
    for root in roots:
        filesystem, path = locations.resolve(root)
        locations.reach(argument, root)
        if not (locations.exists(filesystem, path) or (not locations.is_uri(root) and os.path.lexists(path))):
            raise InputError(f"{argument}: there is no file or folder {root!r}; check the path")
        left.append((root, os.fsencode(path)))
    left.reverse()
    walk = _Walk(left, selection, tally or Tally())
    if ask is None:
        return _filed(sift(_tables(walk.rows())))
    return _filed(sift(chain(_tables(walk.rows(ALONE)), _shared(walk, ask))))


def list_some(folders: Sequence[Folder], selection: Selection) -> Listed:
    """List the scans below some folders, in order, and stop after ``SHARE`` of them; also returns the folders left."""
    walk = _Walk([*reversed(folders)], selection, Tally())
    rows = pa.concat_tables([tables.MANIFEST.empty_table(), *_tables(walk.rows(SHARE))])
    return rows, walk.left[::-1], walk.tally


@dataclass
class _Walk:
    """A walk through the folders ``left``, the last one first; what is not a scan is counted in ``tally``."""

    left: list[Folder]
    selection: Selection
    tally: Tally
    folders: store_folders.Folders = field(default_factory=store_folders.Folders)

    def rows(self, most: int | None = None) -> Iterator[Row]:
        """The scans below the folders; after about ``most`` of them, ``left`` holds the folders not begun."""
        listed = 0
        with self.folders:
            while self.left and (most is None or listed < most):
                self.folders.ask(reversed(self.left))
                source, folder = self.left.pop()
                list_folder = self._remote_folder if locations.is_uri(source) else self._local_folder
                rows, below = list_folder(source, folder)
                self.left.extend((source, name) for name in reversed(below))
                for row in rows:
                    listed += 1
                    yield row

    def _takes(self, source: str, path: bytes, below: str) -> bool:
        return self.selection.takes(source, path, below, self.tally)

    def _local_folder(self, source: str, folder: bytes) -> tuple[Iterable[Row], list[bytes]]:
        top = os.fsencode(source)
        if folder == top and not os.path.isdir(top):
            parent, name = os.path.split(top)
            taken = self._takes(source, top, _text(name))
            return [(_text(parent), _text(name), top, *_examine(top))] if taken else [], []
        files: list[bytes] = []  # only names: the directory entries of a large folder take many times their memory
        folders: list[bytes] = []
        named = _text(top)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    (folders if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
        except OSError:
            return [(named, _text(os.path.relpath(folder, top)) + "/", folder, None, None)], []
        inside, start = os.path.join(folder, b""), len(os.path.join(top, b""))
        paths = (inside + name for name in sorted(files))
        rows = (
            (named, below, path, *_examine(path))
            for path in paths
            if self._takes(source, path, below := _text(path[start:]))
        )
        entered = (inside + name for name in sorted(folders))
        return rows, [path for path in entered if self.selection.enters(_text(path[start:]), self.tally)]

    def _remote_folder(self, source: str, folder: bytes) -> tuple[Iterable[Row], list[bytes]]:
        filesystem, top = locations.resolve(source)
        path = folder.decode()
        if path == top and (info := locations.info(filesystem, path)).type != fs.FileType.Directory:
            taken = self._takes(source, folder, info.base_name)
            row = (source.rpartition("/")[0], info.base_name, folder, info.size, info.mtime_ns)
            return [row] if taken else [], []
        entries = self.folders.entries((source, folder))
        start = len(top.rstrip("/")) + 1
        folders = [entry.path for entry in entries if entry.type == fs.FileType.Directory]
        rows = (
            (source, entry.path[start:], entry.path.encode(), entry.size, entry.mtime_ns)
            for entry in entries
            if entry.type != fs.FileType.Directory and self._takes(source, entry.path.encode(), entry.path[start:])
        )
        return rows, [name.encode() for name in folders if self.selection.enters(name[start:], self.tally)]


def _shared(walk: _Walk, ask: Ask) -> Iterator[pa.Table]:
    rest, asked = walk.left[::-1], deque["Future[Listed]"]()
    while rest or asked:
        share = -(-len(rest) // LISTERS)
        shares = [ask(rest[start : start + share], walk.selection) for start in range(0, len(rest), share or 1)]
        asked.extendleft(reversed(shares))  # the folders that a task left come before those that later tasks list
        rows, rest, counted = asked.popleft().result()
        walk.tally.add(counted)
        yield rows


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def read_manifest(location: str, sift: Sift = iter) -> pa.Table:
    """Read the scans that a CSV or Parquet file names, as a table of ``tables.MANIFEST``.

    The column ``scan`` has full paths or URIs, or paths below ``source`` if there is such a column, or else below the
    folder of the file. A relative ``source`` starts at that folder, too. A column ``label`` is optional. Scans keep
    the names that the file gives them. ``sift`` and the result are as for ``list_scans``. Raises InputError if the file
    breaks a rule.
    """
    listed = _filed(_named(location))
    if repeated := _first_repeated(listed["path"]):
        first, again = (_where(location, row) for row in repeated)
        scan = listed["scan"][repeated[1]].as_py()
        raise InputError(f"{again}: {scan!r} is named in {first.rpartition(', ')[2]} already; name each scan once")
    return listed if sift is iter else _filed(sift(pa.Table.from_batches([batch]) for batch in listed.to_batches()))


def _where(location: str, row: int) -> str:
    for rows in user_tables.read("--manifest", location, ["scan"]):
        if row < len(rows.numbers):
            return rows.where(row)
        row -= len(rows.numbers)
    return f"--manifest {location}"  # the file has changed since


def _named(location: str) -> Iterator[pa.Table]:
    folder = locations.absolute(location).rpartition("/")[0]
    for rows in user_tables.read("--manifest", location, ["scan"], ["source", "label"]):
        names = rows.texts("scan")
        given = rows.texts("source") if "source" in rows.columns else [folder] * len(names)
        labels = rows.digits() if "label" in rows.columns else [None] * len(names)
        sources, paths = [], []
        for at, (scan, source) in enumerate(zip(names, given, strict=True)):
            _check_name(rows.where(at), scan, source)
            sources.append(_source(scan, source, folder))
            paths.append(_path(sources[-1], scan))
        yield examined(sources, names, paths, labels)


def _check_name(where: str, scan: str, source: str) -> None:
    if ".." in scan.split("/") or "\0" in scan:
        raise InputError(f"{where}: {scan!r} leaves its source by ..; give its full path")
    for name in (scan, source):
        if re.match(r"[A-Za-z]:[\\/]|\\\\", name):
            raise InputError(f"{where}: {name!r} is a Windows path; give the path that this machine has for it")


def _source(scan: str, source: str, folder: str) -> str:
    """The source of a scan in a manifest: the root that its name begins with, or the one in its row."""
    root = scans.rooted(scan)
    return root[0] if root else _absolute(folder, source)


@lru_cache(1_000)  # called for every scan
def _absolute(folder: str, source: str) -> str:
    return locations.absolute(locations.below(folder, source))


def _path(source: str, scan: str) -> bytes:
    path = scans.path_of(source, scan)
    if "\\" in scan and not locations.is_uri(source) and not os.path.lexists(path):
        return scans.path_of(source, scan.replace("\\", "/"))  # as Windows writes folders
    return path


def path_of_named(source: str, scan: str) -> bytes:
    """The path of a scan by its name in the tables, where bytes that are not UTF-8 are written as \\xNN."""
    path = scans.path_of(source, scan)
    if locations.is_uri(source) or b"\\x" not in path or is_there(path):
        return path
    return re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), path)


def _first_repeated(paths: pa.ChunkedArray) -> tuple[int, int] | None:
    """The rows, from 0, of the first path that occurs twice: its first and its second."""
    hashes = [pd.util.hash_array(chunk.to_numpy(zero_copy_only=False), categorize=False) for chunk in paths.chunks]
    _, group, sizes = np.unique(np.concatenate(hashes), return_inverse=True, return_counts=True)
    seen: dict[bytes, int] = {}
    for row in np.flatnonzero(sizes[group] > 1).tolist():  # different paths may have the same hash
        if (first := seen.setdefault(paths[row].as_py(), row)) != row:
            return first, row
    return None


def examined(
    sources: Sequence[str], names: Sequence[str], paths: Sequence[bytes], labels: Sequence[int | None]
) -> pa.Table:
    """Scans with known paths as ``tables.MANIFEST``, with their current sizes and times of change."""
    sizes, times = zip(*_examine_all(sources, paths), strict=True) if paths else ((), ())
    return _table(sources, names, paths, sizes, times, labels)


def is_there(path: bytes) -> bool:
    """Whether anything is at this path on this machine, even a link that leads nowhere."""
    return _examine(path) != (None, None)


def _examine_all(sources: Sequence[str], paths: Sequence[bytes]) -> Iterator[tuple[int | None, int | None]]:
    for source, group in groupby(zip(sources, paths, strict=True), key=lambda pair: pair[0]):
        if not locations.is_uri(source):
            yield from (_examine(path) for _, path in group)
            continue
        asked = [path.decode() for _, path in group]  # of a remote store, many in one request
        yield from ((info.size, info.mtime_ns) for info in locations.infos(locations.resolve(source)[0], asked))


def _examine(path: bytes) -> tuple[int | None, int | None]:
    try:
        status = os.lstat(path)
    except OSError:
        return None, None
    return status.st_size, status.st_mtime_ns


def _tables(rows: Iterator[Row]) -> Iterator[pa.Table]:
    while chunk := list(islice(rows, CHUNK)):
        yield _table(*zip(*chunk, strict=True), pa.nulls(len(chunk), pa.int8()))


def _table(*columns: Sequence[object]) -> pa.Table:
    names = ("source", "scan", "path", "size", "modified_ns", "label")
    later = [item for item in tables.MANIFEST if item.name not in names]  # of label files, and of nights
    unknown = {item.name: pa.nulls(len(columns[0]), item.type) for item in later}
    return tables.table(tables.MANIFEST, {**dict(zip(names, columns, strict=True)), **unknown})


def _filed(parts: Iterable[pa.Table]) -> pa.Table:
    with tempfile.NamedTemporaryFile() as file:
        with pa.OSFile(file.name, "wb") as sink, pa.ipc.new_file(sink, tables.MANIFEST) as writer:
            for rows in parts:
                with changing.storage_errors(file.name):
                    writer.write_table(rows)
        return pa.ipc.open_file(pa.memory_map(file.name)).read_all()
