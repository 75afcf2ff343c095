"""What an object store says instead of doing what was asked: asked again where that may help, else told in a sentence.

pyarrow has one exception for all of it, OSError, and tells what happened in its text.
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

from mnist_batch.errors import InputError, StorageError

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0  # for which a store is asked again, besides what its client does by itself
LONGEST_WAIT_SECONDS = 8.0

_patience: ContextVar[float | None] = ContextVar("patience", default=None)
T = TypeVar("T")


class Denied(InputError):
    """The store does not let this job read or write there."""


# The first that fits the text is what happened; a text that fits none is taken for a fault that passes.
_SAYINGS = (
    ("absent", r"^Path does not exist|^Not a regular file"),
    ("credentials", r"INVALID_ACCESS_KEY|SIGNATURE|EXPIRED|TOKEN|UNAUTHENTICATED|UNRECOGNIZED_CLIENT"),
    ("bucket", r"NO_SUCH_BUCKET|Bucket '.*' not found|bucket does not exist"),
    ("absent", r"NO_SUCH_KEY|RESOURCE_NOT_FOUND|\bNOT_FOUND|HTTP status 404"),
    ("denied", r"ACCESS_DENIED|PERMISSION_DENIED|HTTP status 40[13]"),
    ("refused", r"HTTP status (3\d\d|40[0257]|41\d)|VALIDATION|INVALID_(ACTION|PARAMETER|QUERY)|redirect"),
)  # fmt: skip
_NETWORK = (errno.EAGAIN, errno.EINTR, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET)


def kind_of(error: OSError) -> str:
    """What an error of a store means.

    ``absent``, ``bucket`` (that is not there), ``denied``, ``credentials``, ``refused`` (the store cannot be asked
    that), ``disk`` or ``passing``: throttled, cut, silent, or unknown.
    """
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return "absent"
    if isinstance(error, PermissionError):
        return "denied"
    if isinstance(error, ConnectionError | TimeoutError):
        return "passing"
    if error.errno is not None:
        return "passing" if error.errno in _NETWORK else "disk"
    # Of AWS only its code: the rest of the text holds names that users gave.
    code = re.search(r"AWS Error (\w+(?: \(HTTP status \d+\))?)", str(error))
    text = code[1] if code else str(error)
    return next((kind for kind, saying in _SAYINGS if re.search(saying, text, re.IGNORECASE)), "passing")


def said(error: OSError) -> str:
    """What the store said, on one line, without its request ids and markup."""
    text = re.sub(r"<[^>]*>|\(Request ID:[^)]*\)", " ", error.strerror or str(error))
    text = re.sub(r"^.*?(?=AWS Error)", "", re.sub(r"\s+", " ", text).strip())
    return text[:200].rstrip(" .:")


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Inside, stores are asked again for so long only; 0 for not at all."""
    before = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(before)


def ask(where: str, work: Callable[[], T]) -> T:
    """Do the work at a store, again after growing waits where what stops it may pass.

    ``where`` is the location, as messages name it. Raises FileNotFoundError, Denied where the store does not allow it,
    InputError where it cannot be asked so at all, and StorageError where it gives no good answer for a minute.
    """
    seconds = PATIENCE_SECONDS if (given := _patience.get()) is None else given
    try:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, OSError) and kind_of(error) == "passing"),
            wait=tenacity.wait_random_exponential(multiplier=0.25, max=LONGEST_WAIT_SECONDS),
            stop=tenacity.stop_after_delay(seconds),
            before_sleep=lambda state: _say_once(where, state.outcome),
            reraise=True,
        )(work)
    except OSError as error:
        raise _told(where, error, seconds) from error


def _say_once(where: str, outcome: tenacity.Future | None) -> None:
    assert outcome is not None
    error = outcome.exception()
    assert isinstance(error, OSError)
    _say(where.partition("://")[0] + "://" + where.partition("://")[2].partition("/")[0], said(error))


@cache
def _say(store: str, what: str) -> None:
    log.warning("%s: %s; it is asked again, after growing waits, for up to %g s", store, what, PATIENCE_SECONDS)


def _told(where: str, error: OSError, seconds: float) -> OSError | InputError:
    what = said(error)
    match kind_of(error):
        case "absent":
            return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), where)
        case "bucket":
            return InputError(f"{where}: there is no such bucket ({what}); check its name{_and_how_reached(where)}")
        case "credentials":
            return InputError(f"{where}: the store does not take these credentials ({what}); {_who(where)}")
        case "denied":
            return Denied(f"{where}: the store does not allow it ({what}); {_who(where)}")
        case "refused":
            return InputError(
                f"{where}: the store does not understand what it is asked ({what}); check that this is its "
                f"address{_and_how_reached(where)}"
            )
        case "disk":
            return StorageError(
                f"{where}: {what}; what is safe stays safe: mend the disk, then give the same command again"
            )
    return StorageError(
        f"{where}: the store gave no good answer{f' for {seconds:g} seconds' if seconds else ''} ({what}); what is "
        f"safe stays safe: check its address{_and_how_reached(where)}, and give the same command again when it answers"
    )


def _and_how_reached(where: str) -> str:
    return ", AWS_REGION and AWS_ENDPOINT_URL" if where.startswith("s3:") else " and the environment"


def _who(where: str) -> str:
    if not where.startswith("s3:"):
        return "check the credentials in the environment, and what they may read and write"
    key = os.environ.get("AWS_ACCESS_KEY_ID")
    who = f"with the key {key[:4]}... of AWS_ACCESS_KEY_ID" if key else "without AWS_ACCESS_KEY_ID in the environment"
    return (
        f"it was asked {who}: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the role, and "
        "what they may read and write there"
    )
