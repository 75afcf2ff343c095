"""Where things are: a plain path, or any URI that pyarrow.fs understands (s3://, gs://, fsspec+...)."""

import os
import posixpath
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache

import pyarrow as pa
from pyarrow import fs

from mnist_batch import failpoints
from mnist_batch.errors import InputError, StorageError

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
    try:
        filesystem, path = fs.FileSystem.from_uri(uri)
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


def exists(filesystem: fs.FileSystem, path: str) -> bool:
    """True where a file or folder has this path."""
    return bool(filesystem.get_file_info(path).type != fs.FileType.NotFound)


def is_folder(filesystem: fs.FileSystem, path: str) -> bool:
    """True where a folder has this path."""
    return bool(filesystem.get_file_info(path).type == fs.FileType.Directory)


def names(filesystem: fs.FileSystem, folder: str) -> list[str]:
    """The names of what is directly in a folder, sorted; none where there is no such folder."""
    entries = filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    return sorted(entry.base_name for entry in entries)


def read(filesystem: fs.FileSystem, path: str) -> bytes:
    """The bytes of a file."""
    with filesystem.open_input_stream(path, compression=None) as stream:
        return bytes(stream.read())


@contextmanager
def told(path: str) -> Iterator[None]:
    """Turns what the system says of a disk inside into a StorageError that names the path and a remedy."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: {error.strerror or error}; what is safe stays safe: mend the disk or its permissions, then give "
            "the same command again"
        ) from error


def write_whole(
    filesystem: fs.FileSystem, path: str, content: bytes | pa.Buffer, check: Callable[[], None] = lambda: None
) -> None:
    """Write a file that is there whole or not at all: under a temporary name, then renamed.

    ``check`` is called just before the rename and may raise. Raises StorageError where the disk does not take it.
    """
    folder, _, name = path.rpartition("/")
    temporary = f"{folder}/.{name}.{secrets.token_hex(4)}.tmp"
    with told(path):
        filesystem.create_dir(folder)
        with filesystem.open_output_stream(temporary, compression=None) as stream:
            stream.write(content)
        failpoints.reach(f"write {folder.rpartition('/')[2]}/{name}")
        check()
        filesystem.move(temporary, path)


def move_file(filesystem: fs.FileSystem, source: str, target: str) -> None:
    """Move a file to its final name, over one that is there; nothing where there is no source."""
    with told(target):
        if exists(filesystem, source):
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
        if not exists(filesystem, source):
            return
        if isinstance(filesystem, fs.LocalFileSystem):
            filesystem.create_dir(target.rpartition("/")[0])
            for name in names(filesystem, source):
                filesystem.move(f"{source}/{name}", f"{source}/{final(name)}")
            filesystem.move(source, target)
            return
        filesystem.create_dir(target)
        for name in names(filesystem, source):
            filesystem.move(f"{source}/{name}", f"{target}/{final(name)}")
        filesystem.delete_dir(source)


def delete_folder(filesystem: fs.FileSystem, path: str) -> None:
    """Delete a folder and all below it, if it is there."""
    with told(path):
        if exists(filesystem, path):
            filesystem.delete_dir(path)
