"""Write, move and delete files on a disk or at a store, so that each is there whole or not at all."""

import os
import posixpath
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pyarrow as pa
from pyarrow import fs

from mnist_batch import failpoints
from mnist_batch.errors import InputError, StorageError
from mnist_batch.store import clients, locations

PROBE = ".probe"  # how the names of files begin that a job writes to try a place out
LARGEST_PUT = 5 * 1024**2  # bytes; pyarrow may write a larger file at S3 in several requests


@contextmanager
def storage_errors(path: str) -> Iterator[None]:
    """Re-raise an OSError from the block as a StorageError that names the path and what to do."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"{path}: {error.strerror or error}; finished work is kept: repair the disk or its permissions, then "
            "run the same command again"
        ) from error


def write_whole(
    filesystem: fs.FileSystem, path: str, content: bytes | pa.Buffer, check: Callable[[], None] = lambda: None
) -> None:
    """Write a file so that it is there whole or not at all: under a temporary name and renamed, or as one object.

    ``check`` is called just before the file appears, and may raise. Raises StorageError if the disk refuses it, and the
    errors of ``retry.ask``.
    """
    folder, _, name = path.rpartition("/")
    temporary = path if locations.puts_whole(filesystem) else f"{folder}/.{name}.{secrets.token_hex(4)}.tmp"

    def write() -> None:
        if temporary != path:
            filesystem.create_dir(folder)
        large = filesystem.type_name == "s3" and len(content) > LARGEST_PUT
        if large and clients.put_whole(filesystem, path, content):
            return
        with filesystem.open_output_stream(temporary, compression=None) as stream:
            stream.write(content)

    with storage_errors(path):
        if temporary != path:
            locations.ask(filesystem, path, write)
        failpoints.reach(f"write {folder.rpartition('/')[2]}/{name}")
        check()
        locations.ask(filesystem, path, write if temporary == path else lambda: filesystem.move(temporary, path))


def check_place(argument: str, location: str) -> None:
    """Raise InputError, naming the argument, if no folder can be made at a location, or no file below it; on a disk.

    A file lies where the path has a folder, or the folder that is there may not be written to.
    """
    filesystem, path = locations.resolve(location)
    if not locations.is_disk(filesystem):
        return
    there = path
    while not os.path.lexists(there):
        there = posixpath.dirname(there)
    if not os.path.isdir(there):
        raise InputError(f"{argument} {location}: {there} is a file and no folder; give another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{argument} {location}: {there} may not be written to; give another place")


def check_writable(filesystem: fs.FileSystem, folder: str) -> None:
    """Write an empty file and delete it; raises InputError if that is not allowed or there is no such bucket."""
    probe = f"{folder}/{PROBE}"

    def write() -> None:
        if not locations.puts_whole(filesystem):
            filesystem.create_dir(folder)
        filesystem.open_output_stream(probe, compression=None).close()

    with storage_errors(probe):
        locations.ask(filesystem, probe, write)
    delete_file(filesystem, probe)


def move_file(filesystem: fs.FileSystem, source: str, target: str) -> None:
    """Move a file to its final name, replacing a file that is there; without a source, do nothing.

    A store copies the file and keeps the source, which is deleted later with its folder: deleting a single file costs
    three requests.
    """
    with storage_errors(target):
        _move_file(filesystem, source, target)


def _move_file(filesystem: fs.FileSystem, source: str, target: str) -> None:
    with suppress(FileNotFoundError):
        locations.ask(filesystem, target, lambda: _move(filesystem, source, target))


def _move(filesystem: fs.FileSystem, source: str, target: str) -> None:
    if locations.puts_whole(filesystem):
        filesystem.copy_file(source, target)
        return
    if filesystem.get_file_info(source).type != fs.FileType.NotFound:
        filesystem.create_dir(target.rpartition("/")[0])
        filesystem.move(source, target)


def move_folder(filesystem: fs.FileSystem, source: str, target: str, suffix: str = "") -> None:
    """Move a folder of files to its final name and end the files' names in ``suffix``; a second call finishes a first.

    On a disk the folder appears by one rename. Elsewhere it is moved file by file, because object stores cannot rename
    folders.
    """

    def final(name: str) -> str:
        return name if name.startswith(".") else name.removesuffix(suffix) + suffix

    with storage_errors(target):
        if locations.is_disk(filesystem):
            if locations.info(filesystem, source).type != fs.FileType.NotFound:
                for name in locations.names(filesystem, source):
                    if name != final(name):
                        filesystem.move(f"{source}/{name}", f"{source}/{final(name)}")
                _move(filesystem, source, target)
            return
        with ThreadPoolExecutor(locations.AT_ONCE) as pool:
            for moved in [
                pool.submit(_move_file, filesystem, f"{source}/{name}", f"{target}/{final(name)}")
                for name in locations.names(filesystem, source)
            ]:
                moved.result()
        delete_folder(filesystem, source)


def delete_file(filesystem: fs.FileSystem, path: str) -> None:
    """Delete a file if it is there."""
    with storage_errors(path), suppress(FileNotFoundError):
        locations.ask(filesystem, path, lambda: filesystem.delete_file(path))


def delete_folder(filesystem: fs.FileSystem, path: str) -> None:
    """Delete a folder and everything below it, if it is there; a store may still list it for a while."""
    with storage_errors(path), suppress(FileNotFoundError):
        locations.ask(filesystem, path, lambda: filesystem.delete_dir(path))
