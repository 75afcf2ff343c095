"""Errors of object stores: a request is repeated if that may help; otherwise a message says what to do.

pyarrow raises OSError for all of them, and only its text says what happened; what obstore raises is ``Answered`` or a
ConnectionError.
"""

import errno
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TypeVar

import tenacity

from mnist_batch import wording
from mnist_batch.errors import InputError, StorageError

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0  # a failing request is repeated for so long, on top of the client's own retries
LONGEST_WAIT_SECONDS = 8.0

_tell: Callable[[str], object] = log.warning
_count: Callable[[int], object] | None = None
_patience: ContextVar[float | None] = ContextVar("patience", default=None)
T = TypeVar("T")


class Denied(InputError):
    """The store does not allow this job to read or write there."""


class Refused(InputError):
    """The store rejects the request."""


class Answered(OSError):
    """A store's answer that is an error, and its text. ``codes``, which no user gave, tell what kind it is."""

    def __init__(self, codes: str, text: str) -> None:
        super().__init__(text)
        self.codes = codes


# The first pattern that matches the text decides. A text that matches none counts as a fault that may pass.
_KINDS = (
    ("absent", r"^Path does not exist|^Not a regular file"),
    ("expired", r"EXPIRED|TOKEN_?REFRESH"),
    ("credentials", r"INVALID_?ACCESS_?KEY|SIGNATURE|TOKEN|UNAUTHENTICATED|UNRECOGNIZED_?CLIENT"),
    ("bucket", r"NO_?SUCH_?BUCKET|Bucket '.*' not found|bucket does not exist"),
    ("absent", r"NO_SUCH_KEY|RESOURCE_NOT_FOUND|\bNOT_FOUND|HTTP status 404"),
    ("denied", r"ACCESS_DENIED|PERMISSION_DENIED|HTTP status 40[13]"),
    ("refused", r"HTTP status (3\d\d|40[0257]|41\d)|VALIDATION|INVALID_(ACTION|PARAMETER|QUERY)|redirect"),
)  # fmt: skip
_AWS_CODE = re.compile(
    r"AWS Error (\w+(?: \(HTTP status \d+\))?)(?: during \w+ operation: Unable to parse ExceptionName: (\w+))?"
)
_NETWORK = (errno.EAGAIN, errno.EINTR, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET)


def kind_of(error: OSError) -> str:
    """The kind of a store's error.

    ``absent``, ``bucket`` (there is no such bucket), ``denied``, ``credentials`` (not accepted), ``expired`` (they were
    accepted), ``refused`` (the store rejects the request), ``disk``, or ``passing``: throttled, cut, silent or unknown.
    """
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return "absent"
    if isinstance(error, PermissionError):
        return "denied"
    if isinstance(error, ConnectionError | TimeoutError):
        return "passing"
    if error.errno is not None:
        return "passing" if error.errno in _NETWORK else "disk"
    # For AWS only the codes: the rest of the text holds names that users gave.
    if isinstance(error, Answered):
        text = error.codes
    else:
        code = _AWS_CODE.search(str(error))
        text = " ".join(filter(None, code.groups())) if code else str(error)
    return next((kind for kind, pattern in _KINDS if re.search(pattern, text, re.IGNORECASE)), "passing")


def _text_of(error: OSError) -> str:
    """The store's own text on one line, without request ids and markup."""
    text = re.sub(r"<[^>]*>|\(Request ID:[^)]*\)", " ", error.strerror or str(error))
    text = re.sub(r"^.*?(?=AWS Error)", "", re.sub(r"\s+", " ", text).strip())
    text = re.sub(r"Unable to parse ExceptionName: (\w+) Message:", r"\1:", text)
    return text[:200].rstrip(" .:")


def tell_by(tell: Callable[[str], object]) -> None:
    """Have this process tell with a function that it repeats requests; without this call it writes to its log."""
    global _tell
    _tell = tell


def count_by(count: Callable[[int], object]) -> None:
    """Have this process call a function with the number of requests that are repeated, each time that some are."""
    global _count
    _count = count


def repeated(requests: int) -> None:
    """Count requests that were repeated, by this process or by one that reads for it."""
    if _count is not None:
        _count(requests)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Inside the block, failing requests are repeated for so long only; 0 for not at all."""
    before = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(before)


def ask(where: str, work: Callable[[], T]) -> T:
    """Do the work at a store and return its result; repeat it after growing waits if its error may pass.

    ``where`` is the location, for messages. Raises FileNotFoundError; Denied if the store does not allow the work;
    InputError if the store or the request is wrong; and StorageError if the store keeps failing for a minute, or does
    not accept the credentials, or not any more.
    """
    seconds = PATIENCE_SECONDS if (given := _patience.get()) is None else given
    try:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, OSError) and kind_of(error) == "passing"),
            wait=tenacity.wait_random_exponential(multiplier=0.25, max=LONGEST_WAIT_SECONDS),
            stop=tenacity.stop_after_delay(seconds),
            before_sleep=lambda state: _told(where, state.outcome),
            reraise=True,
        )(work)
    except OSError as error:
        raise _translated(where, error, seconds) from error


def _told(where: str, outcome: tenacity.Future | None) -> None:
    repeated(1)
    assert outcome is not None
    error = outcome.exception()
    assert isinstance(error, OSError)
    _log(where.partition("://")[0] + "://" + where.partition("://")[2].partition("/")[0], _text_of(error))


@cache  # the same fault of a store is logged once in a process
def _log(store: str, what: str) -> None:
    _tell(f"{store}: {what}; requests are repeated after growing waits, for up to {wording.seconds(PATIENCE_SECONDS)}")


def _translated(where: str, error: OSError, seconds: float) -> OSError | InputError:
    what = _text_of(error)
    match kind_of(error):
        case "absent":
            return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), where)
        case "bucket":
            return InputError(f"{where}: there is no such bucket ({what}); check its name{_and_how_reached(where)}")
        case "expired":
            return StorageError(f"{where}: the credentials have expired ({what}); {_finished_by(where, 'fresh ones')}")
        case "credentials":
            return StorageError(f"{where}: the store does not accept these credentials ({what}); {_who(where)}")
        case "denied":
            return Denied(f"{where}: the store does not allow this access ({what}); {_who(where)}")
        case "refused":
            return Refused(
                f"{where}: the store rejects the request ({what}); check that this is the address of the "
                f"store{_and_how_reached(where)}"
            )
        case "disk":
            return StorageError(
                f"{where}: {what}; finished work is kept: repair the disk, then run the same command again"
            )
    return StorageError(
        f"{where}: the store kept failing{f' for {wording.seconds(seconds)}' if seconds else ''} ({what}); finished "
        f"work is kept: check its address{_and_how_reached(where)}, then run the same command again"
    )


def no_access(where: str, denied: Denied) -> StorageError:
    """The error for a store that does not allow this job anything, not even to list: its rights or its key are gone."""
    return StorageError(
        f"{denied}. It does not allow to list its bucket either; {_finished_by(where, 'credentials that may')}"
    )


def _finished_by(where: str, which: str) -> str:
    names = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or your profile"
    into = names if where.startswith("s3:") else "the environment, or the file that it names"
    return f"finished work is kept: put {which} into {into}, then run the same command again"


def _and_how_reached(where: str) -> str:
    return ", AWS_REGION and AWS_ENDPOINT_URL" if where.startswith("s3:") else " and the environment"


def _who(where: str) -> str:
    if not where.startswith("s3:"):
        return "check the credentials in the environment, and what they may read and write"
    key = os.environ.get("AWS_ACCESS_KEY_ID")
    who = f"with the key {key[:4]}... of AWS_ACCESS_KEY_ID" if key else "without AWS_ACCESS_KEY_ID in the environment"
    return (
        f"the request was made {who}: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the "
        "role, and what they may read and write there"
    )
