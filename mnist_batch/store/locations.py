"""Where things are: a plain path, or any URI that pyarrow.fs understands (s3://, gs://, fsspec+...)."""

import os
import posixpath
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from mnist_batch import failpoints
from mnist_batch.errors import InputError, StorageError
from mnist_batch.store import retry

T = TypeVar("T")
AT_ONCE = 16  # files that are moved at a store

# user:password@, or a parameter such as secret_key=
SECRET = re.compile(
    r"://[^@:]*:([^@]*)@|[?&][^=&]*(?:key|token|secret|password|credential|sig)[^=&]*=([^&]+)", re.IGNORECASE
)


@lru_cache(1_000)  # asked for every scan's source
def is_uri(location: str) -> bool:
    """True for ``scheme://...``; anything else is a path on this machine."""
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.\-]+://", location) is not None


def absolute(location: str) -> str:
    """The location as any other process on the cluster may name it, without a trailing slash.

    ``file://`` URIs become plain paths, so that one folder has one name. Raises InputError where it is blank, which
    would mean the current directory, or holds a secret.
    """
    if not location.strip():
        raise InputError("a path is empty; is a variable unset? Write . for the current directory")
    if is_uri(location):
        _refuse_secrets(location)
    if location.startswith("file://"):
        return str(_from_uri(location)[1])
    if is_uri(location):
        return re.sub(r"(?<=[^:/])/+$", "", location)  # but not those of hdfs:///
    return os.path.abspath(os.path.expanduser(location))


def below(folder: str, location: str) -> str:
    """A relative path taken from a folder, which may be a URI; an absolute one, or one from ~, as it is."""
    if location.startswith(("/", "~")) or is_uri(location):
        return location
    return f"{folder}/{posixpath.normpath(location)}".removesuffix("/.")


def _refuse_secrets(location: str) -> None:
    if found := SECRET.search(location):
        start = found.start(found.lastindex or 0)
        raise InputError(
            f"{location[:start]}...: a location is written into tables and logs, so it may hold no secret; "
            "give it to the store's client by a role, a file or the environment"
        )


@cache  # one client for a store, not one for every scan
def _from_uri(uri: str) -> tuple[fs.FileSystem, str]:
    asked = uri
    if uri.startswith("s3://"):
        asked += ("&" if "?" in uri else "?") + "allow_delayed_open=true"  # a small file is written by one request
    try:
        filesystem, path = fs.FileSystem.from_uri(asked)
    except (pa.ArrowException, ImportError, ValueError, OSError) as error:
        raise InputError(
            f"{uri!r} is not a location this installation can open ({error}); "
            "give a path, or a URI such as s3://bucket/folder"
        ) from None
    return filesystem, path


def resolve(location: str) -> tuple[fs.FileSystem, str]:
    """The file system that holds a location and the path inside it.

    Raises InputError where no file system answers to the URI's scheme, or it holds a secret.
    """
    location = absolute(location)
    if not is_uri(location):
        return fs.LocalFileSystem(), location
    return _from_uri(location)


def is_disk(filesystem: fs.FileSystem) -> bool:
    """True for a disk of this machine, or one that is mounted here: it renames files and whole folders at once."""
    return isinstance(filesystem, fs.LocalFileSystem)


def puts_whole(filesystem: fs.FileSystem) -> bool:
    """True for an object store, where a file appears whole, in the moment when its writing ends, or not at all."""
    return filesystem.type_name in ("s3", "gcs")


def ask(filesystem: fs.FileSystem, path: str, work: Callable[[], T]) -> T:
    """What the work at a path gives: of a store as ``stores.ask`` has it, of a disk with its own errors."""
    return work() if is_disk(filesystem) else retry.ask(_uri(filesystem, path), work)


def _uri(filesystem: fs.FileSystem, path: str) -> str:
    scheme = {"s3": "s3://", "gcs": "gs://"}.get(filesystem.type_name, "")
    return f"{scheme}{path}"


@cache  # of what was good
def reach(argument: str, location: str) -> None:
    """Raise InputError, naming the argument, where a store cannot be asked for a location; a disk always can.

    It is asked once, without the patience that a store gets in the middle of work.
    """
    filesystem, path = resolve(location)
    if is_disk(filesystem):
        return
    try:
        with retry.patience(0):
            if puts_whole(filesystem):
                nothing = fs.FileSelector(path.partition("/")[0] + "/_")
                # Only of a list is it said why not, and that there is no such bucket.
                with suppress(FileNotFoundError, retry.Denied):
                    ask(filesystem, path, lambda: filesystem.get_file_info(nothing))
            info(filesystem, path)
    except (InputError, StorageError) as error:
        raise InputError(f"{argument}: {error}") from None


def named(location: str, path: str) -> str:
    """A path inside the file system of a location, and below it, as ``resolve`` takes it."""
    if not is_uri(location):
        return path
    address, mark, options = location.partition("?")
    return address + path.removeprefix(resolve(location)[1]) + mark + options


def exists(filesystem: fs.FileSystem, path: str) -> bool:
    """True where a file or folder has this path."""
    return bool(info(filesystem, path).type != fs.FileType.NotFound)


def is_folder(filesystem: fs.FileSystem, path: str) -> bool:
    """True where a folder has this path."""
    return bool(info(filesystem, path).type == fs.FileType.Directory)


def info(filesystem: fs.FileSystem, path: str) -> fs.FileInfo:
    """The kind, size and time of change of what has this path."""
    return ask(filesystem, path, lambda: filesystem.get_file_info(path))


def infos(filesystem: fs.FileSystem, paths: list[str]) -> list[fs.FileInfo]:
    """``info`` of each path, of a store many at once."""
    return ask(filesystem, paths[0], lambda: filesystem.get_file_info(paths))


def entries(filesystem: fs.FileSystem, folder: str) -> list[fs.FileInfo]:
    """What is directly in a folder, sorted by path; none where there is no such folder."""
    return ask(filesystem, folder, lambda: _entries(filesystem, folder))


def _entries(filesystem: fs.FileSystem, folder: str) -> list[fs.FileInfo]:
    return sorted(filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True)), key=lambda entry: entry.path)


def names(filesystem: fs.FileSystem, folder: str) -> list[str]:
    """The names of what is directly in a folder, sorted; none where there is no such folder."""
    return sorted(entry.base_name for entry in entries(filesystem, folder))


def read(filesystem: fs.FileSystem, path: str, most: int | None = None) -> bytes:
    """The bytes of a file, or its first ``most``. Raises FileNotFoundError where there is none."""

    def whole() -> bytes:
        with filesystem.open_input_file(path) as file:
            # Never more than there is: pyarrow makes room for all that it is asked for.
            size = file.size()
            return bytes(file.read(size if most is None else min(size, most)))

    return ask(filesystem, path, whole)


def read_if_there(filesystem: fs.FileSystem, path: str) -> bytes | None:
    """The bytes of a file, None where there is none."""
    try:
        return read(filesystem, path)
    except FileNotFoundError:
        return None


def read_table(filesystem: fs.FileSystem, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """These columns of a Parquet file, all where None, as they are in it."""
    return ask(filesystem, path, lambda: pq.read_table(path, columns=columns, filesystem=filesystem, partitioning=None))


@contextmanager
def told(path: str) -> Iterator[None]:
    """Turns what the system says of a disk inside into a StorageError that names the path and a remedy."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"{path}: {error.strerror or error}; what is safe stays safe: mend the disk or its permissions, then give "
            "the same command again"
        ) from error


def write_whole(
    filesystem: fs.FileSystem, path: str, content: bytes | pa.Buffer, check: Callable[[], None] = lambda: None
) -> None:
    """Write a file that is there whole or not at all: under a temporary name, then renamed, or as one object.

    ``check`` is called just before it appears and may raise. Raises StorageError where the disk does not take it, and
    as ``stores.ask`` does.
    """
    folder, _, name = path.rpartition("/")
    temporary = path if puts_whole(filesystem) else f"{folder}/.{name}.{secrets.token_hex(4)}.tmp"

    def write() -> None:
        if temporary != path:
            filesystem.create_dir(folder)
        with filesystem.open_output_stream(temporary, compression=None) as stream:
            stream.write(content)

    with told(path):
        if temporary != path:
            ask(filesystem, path, write)
        failpoints.reach(f"write {folder.rpartition('/')[2]}/{name}")
        check()
        ask(filesystem, path, write if temporary == path else lambda: filesystem.move(temporary, path))


def check_writable(filesystem: fs.FileSystem, folder: str) -> None:
    """Write and delete a file of no bytes; InputError where that is not allowed, or there is no such bucket."""
    probe = f"{folder}/.probe"

    def write() -> None:
        if not puts_whole(filesystem):
            filesystem.create_dir(folder)
        filesystem.open_output_stream(probe, compression=None).close()

    with told(probe):
        ask(filesystem, probe, write)
    delete_file(filesystem, probe)


def move_file(filesystem: fs.FileSystem, source: str, target: str) -> None:
    """Bring a file to its final name, over one that is there; nothing where there is no source.

    A store copies it, and keeps the source, which goes with its folder: taking a single file away costs three requests.
    """
    with told(target):
        _move_file(filesystem, source, target)


def _move_file(filesystem: fs.FileSystem, source: str, target: str) -> None:
    with suppress(FileNotFoundError):
        ask(filesystem, target, lambda: _move(filesystem, source, target))


def _move(filesystem: fs.FileSystem, source: str, target: str) -> None:
    if puts_whole(filesystem):
        filesystem.copy_file(source, target)
        return
    if filesystem.get_file_info(source).type != fs.FileType.NotFound:
        filesystem.create_dir(target.rpartition("/")[0])
        filesystem.move(source, target)


def move_folder(filesystem: fs.FileSystem, source: str, target: str, suffix: str = "") -> None:
    """Move a folder of files to its final name, where ``suffix`` ends their names; a second call finishes a first one.

    On a local disk the folder appears in one rename. Elsewhere it is moved file by file, since object stores have no
    rename of folders.
    """

    def final(name: str) -> str:
        return name if name.startswith(".") else name.removesuffix(suffix) + suffix

    with told(target):
        if is_disk(filesystem):
            if info(filesystem, source).type != fs.FileType.NotFound:
                for name in names(filesystem, source):
                    if name != final(name):
                        filesystem.move(f"{source}/{name}", f"{source}/{final(name)}")
                _move(filesystem, source, target)
            return
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for moved in [
                pool.submit(_move_file, filesystem, f"{source}/{name}", f"{target}/{final(name)}")
                for name in names(filesystem, source)
            ]:
                moved.result()
        delete_folder(filesystem, source)


def delete_file(filesystem: fs.FileSystem, path: str) -> None:
    """Delete a file, if it is there."""
    with told(path), suppress(FileNotFoundError):
        ask(filesystem, path, lambda: filesystem.delete_file(path))


def delete_folder(filesystem: fs.FileSystem, path: str) -> None:
    """Delete a folder and all below it, if it is there; a store may go on showing one that is gone."""
    with told(path), suppress(FileNotFoundError):
        ask(filesystem, path, lambda: filesystem.delete_dir(path))
