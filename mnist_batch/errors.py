"""The exceptions that end a job, each with its exit code."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mnist_batch.statuses import Status


class JobError(Exception):
    """An error that the user can act on; the process returns ``exit_code``, and its last line has the ``facts``."""

    exit_code = 5
    facts: Mapping[str, Any] = MappingProxyType({})


class InputError(JobError, ValueError):
    """An argument or input file breaks a rule; the message names it, the rule, the value and what to do."""

    exit_code = 2


class TooManyUnreadable(JobError):
    """More scans could not be read than the run allows; the results are staged but not published."""

    exit_code = 3


class GateFailed(JobError):
    """A run broke a gate; it is held, with its report, until a person decides. ``facts`` are for the last line."""

    exit_code = 4

    def __init__(self, message: str, facts: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.facts = facts


class Locked(JobError):
    """Another process is working on the same run."""

    exit_code = 75


class BooksError(JobError):
    """The rows do not match the scans listed, or a part is missing or damaged."""

    exit_code = 5


class DamagedRun(JobError):
    """A file that describes a run, such as run.json or opened.json, cannot be read."""

    exit_code = 5


class StorageError(JobError, OSError):
    """A disk or store failed; finished work is kept, and the same command finishes the run."""

    exit_code = 5


class Stalled(JobError):
    """No shard was finished for too long, or the processes of the run keep dying."""

    exit_code = 5


class Unreadable(Exception):
    """A scan or page that cannot be scored; ``reason`` says what is wrong with it."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason
