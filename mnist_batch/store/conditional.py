"""Small objects at a store that are written on a condition: only if there is none, or only over the one that was read.

pyarrow cannot send conditions, so these few requests go through obstore. Where the store does not keep a condition, it
is looked at before the object is written, which leaves a moment for another process.
"""

import configparser
import logging
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pyarrow import fs

from mnist_batch.errors import InputError, StorageError
from mnist_batch.store import locations, retry

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
            return self._ask(path, lambda: _get(self.client, _key(path)))
        except FileNotFoundError:
            return None

    def create(self, path: str, content: bytes) -> bool:
        """Write an object if there is none at its path; False if there is one, unless it has this very content."""
        if self.client is not None:
            if self._put(path, content, "create"):
                return True
            there = self.read(path)  # it may have been written by a request whose answer was lost
        elif (there := self.read(path)) is None:
            locations.write_whole(self.filesystem, path, content)
            return True
        return there is not None and there.content == content

    def replace(self, path: str, content: bytes, known: Read) -> bool:
        """Write an object over the one that was read; False if that is another one by now, or gone."""
        if self.client is None:
            there = self.read(path)
            if there is not None and there.content == known.content:
                locations.write_whole(self.filesystem, path, content)
                return True
            return False
        if self._put(path, content, known.version):
            return True
        there = self.read(path)
        return there is not None and there.content == content

    def delete(self, path: str) -> None:
        """Delete an object if it is there; unlike pyarrow this leaves no key for its folder."""
        if self.client is None:
            locations.delete_file(self.filesystem, path)
        else:
            self._ask(path, lambda: self.client.delete([_key(path)]))

    def _put(self, path: str, content: bytes, mode: Any) -> bool:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        def put() -> bool:
            try:
                self.client.put(_key(path), content, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                return False
            return True

        return self._ask(path, put)

    def _ask(self, path: str, work: Callable[[], T]) -> T:
        return locations.ask(self.filesystem, path, lambda: _translated(work))


def _get(client: Any, key: str) -> Read:
    answer = client.get(key)
    version = {name: answer.meta[name] for name in ("e_tag", "version") if answer.meta[name] is not None}
    return Read(bytes(answer.bytes()), version)


def _key(path: str) -> str:
    return path.partition("/")[2]


def _translated(work: Callable[[], T]) -> T:
    from obstore import exceptions

    try:
        return work()
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise PermissionError(_text_of(error)) from None
    except exceptions.BaseError as error:
        raise ConnectionError(_text_of(error)) from None


def _text_of(error: Exception) -> str:
    status = re.search(r"status code: (\d{3}[\w ]*)", str(error))
    first = str(error).partition("\n")[0].rpartition(" - ")[2]
    return f"HTTP status {status[1]}" if status else first


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
        objects = Objects(location, _client(location, filesystem))
        try:
            with retry.patience(0):
                why = _broken(objects, f"{root}/_staging/.probe-{secrets.token_hex(4)}")
        except (InputError, StorageError) as error:
            why = str(error.__cause__ or error)
        if not why:
            return objects
    log.warning(
        "%s: conditional puts do not work here (%s), so two jobs on one run are kept apart less surely: start only "
        "one at a time",
        location, why,
    )  # fmt: skip
    return Objects(location)


def _broken(objects: Objects, probe: str) -> str:
    """Why conditions are not kept, found with an object that is deleted again; empty if they are."""
    try:
        if not objects._put(probe, b"1", "create"):
            return "it refuses a new object"
        if objects._put(probe, b"2", "create"):
            return "it ignores If-None-Match"
        if objects._put(probe, b"3", {"e_tag": '"0"', "version": "0"}):
            return "it ignores If-Match"
        there = objects.read(probe)
        if there is None or not objects.replace(probe, b"4", there):
            return "it does not know the object that it gave"
        return ""
    finally:
        objects.delete(probe)


def _client(location: str, filesystem: fs.FileSystem) -> Any:
    """obstore's client for the bucket of a location, with the same address and credentials as pyarrow's."""
    from obstore import store

    retries: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
    bucket = locations.resolve(location)[1].partition("/")[0]
    if filesystem.type_name == "gcs":
        return store.GCSStore(bucket, retry_config=retries)
    options = dict(parse_qsl(urlsplit(location).query))
    config = {"region": filesystem.region}
    if address := options.get("endpoint_override"):
        config["endpoint"] = address if "://" in address else f"{options.get('scheme', 'https')}://{address}"
    keys: Any = _profile_keys if "AWS_ACCESS_KEY_ID" not in os.environ and _profile() else None
    reached: Any = {"config": config, "client_options": {"allow_http": True}, "retry_config": retries}
    return store.S3Store(bucket, credential_provider=keys, **reached)


def _profile_keys() -> dict[str, Any]:
    """The keys of the profile as obstore asks for them; it asks again when they may have been renewed."""
    keys = _profile()
    return {
        "access_key_id": keys.get("aws_access_key_id", ""),
        "secret_access_key": keys.get("aws_secret_access_key", ""),
        "token": keys.get("aws_session_token"),
        "expires_at": datetime.now(UTC) + timedelta(minutes=5),
    }


def _profile() -> dict[str, str]:
    """The keys of the user's profile in AWS's file of credentials, which obstore does not read; empty without one."""
    parser = configparser.ConfigParser()
    parser.read(Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")).expanduser())
    name = os.environ.get("AWS_PROFILE", "default")
    known = parser[name] if parser.has_section(name) else {}
    wanted = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return {key: known[key] for key in wanted if key in known}
