"""The folders of a store, listed many at once: a store takes long to answer, but answers many requests together."""

from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from pyarrow import fs

from mnist_batch.errors import InputError
from mnist_batch.store import locations

AT_ONCE = 32  # folders
HELD = 200_000  # entries of folders that are listed before their turn, about
SAMPLE = 32  # folders below another that tell how large the rest of them are
MANY = 1_000  # folders; fewer below another are listed one by one
PAGE = 1_000  # entries in one answer of a store
WHOLE = 2_000_000  # entries that are listed and held together, at most

Folder = tuple[str, bytes]  # its source, and its path inside the source's file system


class Folders:
    """Lists folders of stores in the order in which they are taken, ahead of that and many at once.

    They are fewer if they are large, since their entries are held. Where thousands of folders hold a few entries each,
    the folder above them is listed as a whole: that takes fewer requests, though one after the other.
    """

    def __init__(self) -> None:
        self._asked: dict[Folder, Future[list[fs.FileInfo]]] = {}
        self._at_once = 1  # until a folder has shown how large they are
        self._largest = 1
        self._below: dict[Folder, int] = {}  # how many folders are below another, where these are many
        self._seen: defaultdict[Folder, list[int]] = defaultdict(list)  # how large the first of them are

    def __enter__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE)

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._asked.clear()

    def ask(self, following: Iterable[Folder]) -> None:
        """Ask for the folders of stores among those that come next."""
        for folder in islice(following, self._at_once):
            if folder not in self._asked and locations.is_uri(folder[0]):
                self._asked[folder] = self._pool.submit(_entries, folder)

    def entries(self, folder: Folder) -> list[fs.FileInfo]:
        """The entries of a folder that was asked for, sorted by path.

        Raises InputError for one with a folder whose name is empty, and StorageError if the store does not answer.
        """
        entries = self._asked.pop(folder).result()
        self._largest = max(self._largest, len(entries))
        self._at_once = max(1, min(AT_ONCE, HELD // self._largest))
        if (folders := sum(entry.type == fs.FileType.Directory for entry in entries)) > MANY:
            self._below[folder] = folders
        above = folder[0], folder[1].rpartition(b"/")[0]
        if above in self._below:
            self._sample(above, len(entries) + folders * WHOLE)  # of those below them nothing is known
        return entries

    def _sample(self, above: Folder, size: int) -> None:
        self._seen[above].append(size)
        if len(self._seen[above]) < SAMPLE:
            return
        folders, mean = self._below.pop(above), sum(self._seen.pop(above)) / SAMPLE
        if mean < PAGE / AT_ONCE and mean * folders < WHOLE:
            self._ask_whole(above)

    def _ask_whole(self, above: Folder) -> None:
        for path, entries in by_folder(_entries(above, recursive=True), above[1].decode()).items():
            done = self._asked[above[0], path.encode()] = Future()
            done.set_result(entries)


def _entries(folder: Folder, recursive: bool = False) -> list[fs.FileInfo]:
    path = folder[1].decode()
    entries = locations.entries(locations.resolve(folder[0])[0], path, recursive)
    # pyarrow lists a folder with an empty name as the folder that it is in: following it would never end.
    if any(entry.path == path or "//" in entry.path for entry in entries):
        raise InputError(
            f"{locations.named(folder[0], path)}: a key below it has an empty folder name, as in a//b.png, and "
            "cannot be read; rename such keys, or name the scans in a --manifest"
        )
    return entries


def by_folder(entries: Iterable[fs.FileInfo], top: str) -> dict[str, list[fs.FileInfo]]:
    """All entries below ``top`` by the folder that they are in; folders that only the names of files tell are added."""
    found: dict[str, dict[str, fs.FileInfo]] = {top: {}}

    def add(entry: fs.FileInfo) -> None:
        above = entry.path.rpartition("/")[0]
        if above not in found:
            found[above] = {}
            add(fs.FileInfo(above, fs.FileType.Directory))
        found[above].setdefault(entry.path, entry)

    for entry in entries:
        add(entry)
        if entry.type == fs.FileType.Directory:
            found.setdefault(entry.path, {})
    return {folder: sorted(inside.values(), key=lambda entry: entry.path) for folder, inside in found.items()}
