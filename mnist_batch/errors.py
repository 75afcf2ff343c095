"""The ways a job ends other than well, each with its exit code."""


class JobError(Exception):
    """A job's end that its user can act on; ``exit_code`` is what the process returns."""

    exit_code = 5


class InputError(JobError, ValueError):
    """An argument or input file breaks a rule; the message names it, the rule, the value and a remedy."""

    exit_code = 2


class BooksError(JobError):
    """The rows written are not the scans listed, or a part of the run is missing."""

    exit_code = 5
