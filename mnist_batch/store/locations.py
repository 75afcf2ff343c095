"""Paths, and URIs that pyarrow.fs understands (s3://, gs://, fsspec+...); what there is, and reading it."""

import os
import posixpath
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, lru_cache, partial
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from mnist_batch.errors import InputError, StorageError
from mnist_batch.store import retry

T = TypeVar("T")
AT_ONCE = 16  # files or folders that a store is asked for, or moves, at the same time
CONNECTIONS = 128  # of a process to a store: pyarrow has as many as threads for files, and at least 25
ASKED_AT_ONCE = 1_000  # files of one request for information that is repeated as a whole

# user:password@, or a parameter such as secret_key=
SECRET = re.compile(
    r"://[^@:]*:([^@]*)@|[?&][^=&]*(?:key|token|secret|password|credential|sig)[^=&]*=([^&]+)", re.IGNORECASE
)


@lru_cache(1_000)  # asked for every scan's source
def is_uri(location: str) -> bool:
    """True for ``scheme://...``; anything else is a path on this machine."""
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.\-]+://", location) is not None


def absolute(location: str) -> str:
    """The location as every process on the cluster can name it, without a trailing slash.

    ``file://`` URIs become plain paths, so that each folder has one name. Raises InputError for a blank location, which
    would mean the current directory, and for one that holds a secret.
    """
    if not location.strip():
        raise InputError("a path is empty; check whether a variable is unset, or write . for the current directory")
    if is_uri(location):
        _refuse_secrets(location)
    if location.startswith("file://"):
        return str(_from_uri(location)[1])
    if is_uri(location):
        return re.sub(r"(?<=[^:/])/+$", "", location)  # keeps the slashes of hdfs:///
    return os.path.abspath(os.path.expanduser(location))


def below(folder: str, location: str) -> str:
    """A relative path joined to a folder, which may be a URI; an absolute path, or one from ~, stays as it is."""
    if location.startswith(("/", "~")) or is_uri(location):
        return location
    return f"{folder}/{posixpath.normpath(location)}".removesuffix("/.")


def _refuse_secrets(location: str) -> None:
    if match := SECRET.search(location):
        start = match.start(match.lastindex or 0)
        raise InputError(
            f"{location[:start]}...: a location is written into tables and logs, so it may hold no secret; "
            "put the secret into the environment or a file, or use a role"
        )


def keys_changed_ns() -> int:
    """When the file of AWS credentials was changed last; 0 without one. A client of pyarrow reads it only once."""
    path = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    try:
        return os.stat(os.path.expanduser(path)).st_mtime_ns
    except OSError:
        return 0


@lru_cache(100)  # one client for a store, not one for every scan
def _from_uri(uri: str, _keys_changed_ns: int = 0) -> tuple[fs.FileSystem, str]:
    with_options = uri
    if uri.startswith("s3://"):
        with_options += ("&" if "?" in uri else "?") + "allow_delayed_open=true"  # writes a small file in one request
        pa.set_io_thread_count(max(CONNECTIONS, pa.io_thread_count()))  # they start when there is work for them
    try:
        filesystem, path = fs.FileSystem.from_uri(with_options)
    except (pa.ArrowException, ImportError, ValueError, OSError) as error:
        raise InputError(
            f"{uri!r} is not a location that this installation can open ({error}); "
            "give a path, or a URI such as s3://bucket/folder"
        ) from None
    return filesystem, path


def resolve(location: str) -> tuple[fs.FileSystem, str]:
    """The file system of a location, and the path inside it.

    Call it again for each piece of work: where keys in a file have been renewed, the file system is another one.
    Raises InputError if no file system knows the URI's scheme, or if the location holds a secret.
    """
    location = absolute(location)
    if not is_uri(location):
        return fs.LocalFileSystem(), location
    return _from_uri(location, keys_changed_ns() if location.startswith("s3:") else 0)


def what_to_check(location: str) -> str:
    """What a user should check if nothing is at a location, to end a message with."""
    on_disk = is_disk(resolve(location)[0])
    return "check the path, and that its disk is mounted" if on_disk else "check the bucket and the path"


def is_disk(filesystem: fs.FileSystem) -> bool:
    """True for a disk of this machine or one mounted here, which renames a file or a whole folder in one step."""
    return isinstance(filesystem, fs.LocalFileSystem)


def puts_whole(filesystem: fs.FileSystem) -> bool:
    """True for an object store, where a file appears whole when its writing ends, or not at all."""
    return filesystem.type_name in ("s3", "gcs")


def ask(filesystem: fs.FileSystem, path: str, work: Callable[[], T]) -> T:
    """Do the work at a path and return its result: at a store with the retries of ``retry.ask``, on a disk at once.

    A store whose bucket cannot even be listed for this job is a StorageError, not Denied.
    """
    if is_disk(filesystem):
        return work()
    where = _uri(filesystem, path)
    try:
        return retry.ask(where, work)
    except (retry.Denied, retry.Refused) as error:
        try:
            _probe(filesystem, path)
        except retry.Denied:
            if isinstance(error, retry.Denied):
                raise retry.no_access(where, error) from None
        raise


def _probe(filesystem: fs.FileSystem, path: str) -> None:
    """List what nobody has: only the answer to a listing tells why a request fails, or that there is no such bucket."""
    if puts_whole(filesystem):
        selector = fs.FileSelector(path.partition("/")[0] + "/_")
        with suppress(FileNotFoundError):
            retry.ask(_uri(filesystem, path), lambda: filesystem.get_file_info(selector))


def _uri(filesystem: fs.FileSystem, path: str) -> str:
    scheme = {"s3": "s3://", "gcs": "gs://"}.get(filesystem.type_name, "")
    return f"{scheme}{path}"


@cache  # only successes are cached: an exception is not
def reach(argument: str, location: str) -> None:
    """Raise InputError, naming the argument, if the store of a location does not answer; a disk is not checked.

    The store is asked once, without the retries that it gets during a run.
    """
    filesystem, path = resolve(location)
    if is_disk(filesystem):
        return
    try:
        with retry.patience(0):
            with suppress(retry.Denied):
                _probe(filesystem, path)
            info(filesystem, path)
    except (InputError, StorageError) as error:
        raise InputError(f"{argument}: {error}") from None


def named(location: str, path: str) -> str:
    """The location, as ``resolve`` takes it, of a path at or below another location."""
    if not is_uri(location):
        return path
    address, mark, options = location.partition("?")
    return address + path.removeprefix(resolve(location)[1]) + mark + options


def exists(filesystem: fs.FileSystem, path: str) -> bool:
    """True if there is a file or folder with this path."""
    return bool(info(filesystem, path).type != fs.FileType.NotFound)


def is_folder(filesystem: fs.FileSystem, path: str) -> bool:
    """True if there is a folder with this path."""
    return bool(info(filesystem, path).type == fs.FileType.Directory)


def holds_files(filesystem: fs.FileSystem, folder: str) -> bool:
    """True if there is a folder with this path; at a store only if a file is below.

    Stores may list a folder of which all files are gone: SeaweedFS for minutes, others as the key that is the folder's.
    """
    there = is_folder(filesystem, folder)
    if not there or is_disk(filesystem):
        return there
    return bool(files_below(filesystem, folder))


def files_below(filesystem: fs.FileSystem, folder: str) -> list[str]:
    """The paths, from a folder on, of all files below it, sorted; none if there is no such folder."""
    below = entries(filesystem, folder, recursive=True)
    return [entry.path.removeprefix(f"{folder}/") for entry in below if entry.type == fs.FileType.File]


def info(filesystem: fs.FileSystem, path: str) -> fs.FileInfo:
    """The kind, size and modification time of the file or folder with this path."""
    return ask(filesystem, path, lambda: filesystem.get_file_info(path))


def infos(filesystem: fs.FileSystem, paths: list[str]) -> list[fs.FileInfo]:
    """``info`` of each path; a store answers many at once."""
    found: list[fs.FileInfo] = []
    for start in range(0, len(paths), ASKED_AT_ONCE):
        asked = paths[start : start + ASKED_AT_ONCE]
        found += ask(filesystem, asked[0], partial(filesystem.get_file_info, asked))
    return found


def entries(filesystem: fs.FileSystem, folder: str, recursive: bool = False) -> list[fs.FileInfo]:
    """The entries of a folder, or all below it, sorted by path; none if there is no such folder."""
    selector = fs.FileSelector(folder, allow_not_found=True, recursive=recursive)
    return ask(filesystem, folder, lambda: sorted(filesystem.get_file_info(selector), key=lambda entry: entry.path))


def names(filesystem: fs.FileSystem, folder: str) -> list[str]:
    """The names of the direct entries of a folder, sorted; none if there is no such folder."""
    return sorted(entry.base_name for entry in entries(filesystem, folder))


def read(filesystem: fs.FileSystem, path: str, most: int | None = None) -> bytes:
    """The bytes of a file, or its first ``most``. Raises FileNotFoundError if there is no such file."""
    return read_first(filesystem, path, most)[0]


def read_first(filesystem: fs.FileSystem, path: str, most: int | None) -> tuple[bytes, int]:
    """The first ``most`` bytes of a file, and the size of the whole.

    Raises FileNotFoundError if there is no such file.
    """

    def first() -> tuple[bytes, int]:
        with filesystem.open_input_file(path) as file:
            # Never more than the file has: pyarrow allocates as much as it is asked for.
            size = file.size()
            wanted = size if most is None else min(size, most)
            content = bytes(file.read(wanted))
            return content, size if len(content) == wanted else len(content)  # it may have been replaced since

    return ask(filesystem, path, first)


def read_if_there(filesystem: fs.FileSystem, path: str) -> bytes | None:
    """The bytes of a file, or None if there is no such file."""
    try:
        return read(filesystem, path)
    except (FileNotFoundError, NotADirectoryError):  # nothing is there, or a file where the path has a folder
        return None


def read_table(filesystem: fs.FileSystem, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The columns of a Parquet file with these names, or all if None, with the types they have in the file.

    A column that the file does not have is left out.
    """

    def read() -> pa.Table:
        with pq.ParquetFile(path, filesystem=filesystem) as file:
            return file.read(columns=columns)

    return ask(filesystem, path, read)
