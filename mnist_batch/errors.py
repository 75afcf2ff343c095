"""The ways a job ends other than well, each with its exit code."""

from mnist_batch.statuses import Status


class JobError(Exception):
    """A job's end that its user can act on; ``exit_code`` is what the process returns."""

    exit_code = 5


class InputError(JobError, ValueError):
    """An argument or input file breaks a rule; the message names it, the rule, the value and a remedy."""

    exit_code = 2


class TooManyUnreadable(JobError):
    """More of the scans could not be read than the run allows; what was found is staged, not published."""

    exit_code = 3


class Locked(JobError):
    """Another process is at work on the same run."""

    exit_code = 75


class BooksError(JobError):
    """The rows written are not the scans listed, or a part is missing or damaged."""

    exit_code = 5


class DamagedRun(JobError):
    """What a run says of itself, in run.json or opened.json, cannot be read."""

    exit_code = 5


class StorageError(JobError, OSError):
    """The disk or store did not take what was written; nothing is lost, and the rerun finishes."""

    exit_code = 5


class Stalled(JobError):
    """Nothing has come out of the run for longer than it may take, or its processes keep dying."""

    exit_code = 5


class Unreadable(Exception):
    """A scan or page that is not scored: ``status`` is one of ``Status``, ``reason`` says what was wrong."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason
