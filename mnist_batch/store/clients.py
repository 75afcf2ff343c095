"""obstore's clients of stores, with the address and the credentials of pyarrow's; a scan at S3 is one request to them.

pyarrow asks for the size of an object before it reads it, uploads a large one in parts, and cannot send conditions.
"""

import configparser
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
from pyarrow import fs

from mnist_batch.store import locations, retry

T = TypeVar("T")

SILENT_SECONDS = timedelta(seconds=10)  # without a byte; then the request is repeated
LONGEST_SECONDS = timedelta(minutes=10)  # for a whole object: obstore gives up after 30 s, which a large scan may take
# pyarrow passes the proxies of HTTP_PROXY and HTTPS_PROXY by; with an own one, for no host, obstore does so, too.
PAST_PROXIES = {"proxy_url": "http://127.0.0.1:9", "proxy_excludes": "*,0.0.0.0/0,::/0"}

# The path is the user's, but percent-encoded in the address: what failed is only looked for behind it.
_FAILED = re.compile(r"Error performing \w+ (?P<address>\S+) in .*? - (?:HTTP error: )?(?P<what>.*)", re.DOTALL)
_STATUS = re.compile(r"status code: (\d{3})([\w ]*)")
_CODE = re.compile(r"<Code>(\w+)</Code>(?:.*?<Message>(.*?)</Message>)?", re.DOTALL)
# Where roles get their keys.
_OF_KEYS = re.compile(r"https?://(169\.254\.|\[fd00:|sts\.|[^/]+/latest/(api/token|meta-data))")

_without_keys: set[str] = set()  # the locations for which obstore finds no credentials; pyarrow may


class NoKeys(ConnectionError):
    """obstore finds no credentials."""


def read_first(location: str, path: str, most: int) -> tuple[bytes, int]:
    """The first ``most`` bytes of an object at S3, at or below a location, and the size of the whole.

    Raises FileNotFoundError, and the errors of ``retry.ask``.
    """
    filesystem, _ = locations.resolve(location)
    if location not in _without_keys:
        found = locations.ask(filesystem, path, lambda: _first(location, key_of(path), most))
        if found is not None:
            return found
    return locations.read_first(filesystem, path, most)


def _first(location: str, key: str, most: int) -> tuple[bytes, int] | None:
    client = _kept_client(location, locations.keys_changed_ns())
    try:
        return translated(lambda: _get(client, key, most))
    except NoKeys:
        _without_keys.add(location)
    except ValueError:  # obstore takes no key with a control character
        pass
    return None


def _get(client: Any, key: str, most: int) -> tuple[bytes, int]:
    answer = client.get(key)
    size = int(answer.meta["size"])
    if size <= most:
        return bytes(answer.bytes()), size
    content = bytearray()
    for piece in answer.stream(min_chunk_size=1):
        content += piece
        if len(content) >= most:
            break
    return bytes(content[:most]), size


def put_whole(filesystem: fs.FileSystem, path: str, content: bytes | pa.Buffer) -> bool:
    """Write an object at S3 by one request, whatever its size; False if obstore finds no keys, or takes none like it.

    Of an upload in parts a job that is killed leaves these at the store, unseen and paid for. Raises the errors that
    ``retry.ask`` knows.
    """
    options = filesystem.__reduce__()[1][0]
    client = _client(filesystem, path.partition("/")[0], options, tries=1, silent=LONGEST_SECONDS)
    try:
        translated(lambda: client.put(key_of(path), memoryview(content).cast("B"), use_multipart=False))
    except (NoKeys, ValueError):
        return False
    return True


def key_of(path: str) -> str:
    """The key in its bucket of an object whose path is that of ``locations.resolve``."""
    return path.partition("/")[2]


def translated(work: Callable[[], T]) -> T:
    """Do the work of an obstore client; its errors are raised as ``retry.ask`` knows them."""
    from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

    try:
        return work()
    except (AlreadyExistsError, PreconditionError):
        raise
    except (BaseError, FileNotFoundError) as error:
        raise _translated(str(error)) from None


def _translated(text: str) -> OSError:
    failed = _FAILED.search(text)
    what = failed["what"] if failed else text
    first = what.partition("\n")[0]
    if failed and _OF_KEYS.match(failed["address"]):
        return NoKeys(first)
    if status := _STATUS.search(what):
        code, message = found.groups() if (found := _CODE.search(what)) else ("", "")
        told = ": ".join(filter(None, (f"HTTP status {status[1]}{status[2].rstrip()}", code, message)))
        return retry.Answered(f"HTTP status {status[1]} {code}", told)
    return retry.Answered("redirect", first) if "redirect" in first else ConnectionError(first)


@lru_cache(100)  # one client for a store, not one for every scan
def _kept_client(location: str, _keys_changed_ns: int) -> Any:
    return of(location, tries=1)  # ``retry.ask`` repeats it, and says so


def of(location: str, tries: int = 3) -> Any:
    """obstore's client for the bucket of a location, which tries a request so often before it is an error."""
    filesystem, path = locations.resolve(location)
    return _client(filesystem, path.partition("/")[0], dict(parse_qsl(urlsplit(location).query)), tries)


def _client(
    filesystem: fs.FileSystem,
    bucket: str,
    options: Mapping[str, Any],
    tries: int,
    silent: timedelta = SILENT_SECONDS,
) -> Any:
    from obstore import store

    retries: Any = {"max_retries": tries - 1, "retry_timeout": timedelta(seconds=10)}
    if filesystem.type_name == "gcs":
        return store.GCSStore(bucket, retry_config=retries)
    config: dict[str, Any] = {"region": filesystem.region}
    if address := options.get("endpoint_override"):
        config["endpoint"] = address if "://" in address else f"{options.get('scheme', 'https')}://{address}"
    keys: Any = _profile_keys if "AWS_ACCESS_KEY_ID" not in os.environ and profile() else None
    limits = {"timeout": LONGEST_SECONDS, "read_timeout": silent}
    reached: Any = {"config": config, "client_options": {"allow_http": True, **limits, **PAST_PROXIES}}
    return store.S3Store(bucket, credential_provider=keys, retry_config=retries, **reached)


def _profile_keys() -> dict[str, Any]:
    """The keys of the profile as obstore asks for them; it asks again when they may have been renewed."""
    keys = profile()
    return {
        "access_key_id": keys.get("aws_access_key_id", ""),
        "secret_access_key": keys.get("aws_secret_access_key", ""),
        "token": keys.get("aws_session_token"),
        "expires_at": datetime.now(UTC) + timedelta(minutes=5),
    }


def profile() -> dict[str, str]:
    """The keys of the user's profile in AWS's file of credentials, which obstore does not read; empty without one."""
    parser = configparser.ConfigParser()
    parser.read(Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")).expanduser())
    name = os.environ.get("AWS_PROFILE", "default")
    known = parser[name] if parser.has_section(name) else {}
    wanted = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return {key: known[key] for key in wanted if key in known}
