"""Small objects at a store that are written on a condition: only if there is none, or only over the one that was read.

pyarrow cannot send conditions, so these few requests go through obstore. Where the store does not keep a condition, it
is looked at before the object is written, which leaves a moment for another process.
"""

import logging
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from pyarrow import fs

from mnist_batch.errors import InputError, StorageError
from mnist_batch.store import changing, clients, locations, retry

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Read:
    """An object as it was read: its bytes, and what names this version of it at the store."""

    content: bytes
    version: Mapping[str, Any]


@dataclass(frozen=True)
class Objects:
    """The objects at the store of a location by their paths, as ``locations.resolve`` gives them.

    ``client`` is obstore's; without one, conditions are looked at before the object is written.
    """

    location: str
    client: Any = None

    @property
    def filesystem(self) -> fs.FileSystem:
        """The file system of the store, with the keys of this moment."""
        return locations.resolve(self.location)[0]

    def read(self, path: str) -> Read | None:
        """The object at a path; None if there is none."""
        if self.client is None:
            content = locations.read_if_there(self.filesystem, path)
            return None if content is None else Read(content, {})
        try:
            return self._ask(path, lambda: _get(self.client, clients.key_of(path)))
        except FileNotFoundError:
            return None

    def create(self, path: str, content: bytes) -> bool:
        """Write an object if there is none at its path; False if there is one, unless it has this very content."""
        if self.client is not None:
            if self._put(path, content, "create"):
                return True
            there = self.read(path)  # it may have been written by a request whose answer was lost
        elif (there := self.read(path)) is None:
            changing.write_whole(self.filesystem, path, content)
            return True
        return there is not None and there.content == content

    def replace(self, path: str, content: bytes, known: Read) -> bool:
        """Write an object over the one that was read; False if that is another one by now, or gone."""
        if self.client is None:
            there = self.read(path)
            if there is not None and there.content == known.content:
                changing.write_whole(self.filesystem, path, content)
                return True
            return False
        if self._put(path, content, known.version):
            return True
        there = self.read(path)
        return there is not None and there.content == content

    def delete(self, path: str) -> None:
        """Delete an object if it is there; unlike pyarrow this leaves no key for its folder."""
        if self.client is None:
            changing.delete_file(self.filesystem, path)
        else:
            self._ask(path, lambda: self.client.delete([clients.key_of(path)]))

    def _put(self, path: str, content: bytes, mode: Any) -> bool:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        def put() -> bool:
            try:
                self.client.put(clients.key_of(path), content, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                return False
            return True

        return self._ask(path, put)

    def _ask(self, path: str, work: Callable[[], T]) -> T:
        return locations.ask(self.filesystem, path, lambda: clients.translated(work))


def _get(client: Any, key: str) -> Read:
    answer = client.get(key)
    version = {name: answer.meta[name] for name in ("e_tag", "version") if answer.meta[name] is not None}
    return Read(bytes(answer.bytes()), version)


def at(location: str) -> Objects:
    """The objects at the store of a location, which may be written to.

    Whether the store keeps conditions is tried out once in a process; if it does not, the log says so. Raises
    InputError and StorageError.
    """
    return _at(locations.absolute(location), os.environ.get("AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL")))


@cache
def _at(location: str, _endpoint: str | None) -> Objects:
    filesystem, root = locations.resolve(location)
    why = "its kind of store has none"
    if locations.puts_whole(filesystem):
        found = Objects(location, clients.of(location))
        try:
            with retry.patience(0):
                why = _broken(found, f"{root}/_staging/{changing.PROBE}-{secrets.token_hex(4)}")
        except (InputError, StorageError) as error:
            why = str(error.__cause__ or error)
        if not why:
            return found
    log.warning(
        "%s: conditional puts do not work here (%s), so two jobs on one run are kept apart less surely: start only "
        "one at a time",
        location, why,
    )  # fmt: skip
    return Objects(location)


def _broken(found: Objects, probe: str) -> str:
    """Why conditions are not kept, found with an object that is deleted again; empty if they are."""
    try:
        if not found._put(probe, b"1", "create"):
            return "it refuses a new object"
        if found._put(probe, b"2", "create"):
            return "it ignores If-None-Match"
        if found._put(probe, b"3", {"e_tag": '"0"', "version": "0"}):
            return "it ignores If-Match"
        there = found.read(probe)
        if there is None or not found.replace(probe, b"4", there):
            return "it does not know the object that it gave"
        return ""
    finally:
        found.delete(probe)
