"""What became of a page that was listed: the statuses of ``predictions``, and what they mean."""

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    """What became of a page; its value is what the tables have."""

    OK = "ok"
    BLANK = "blank"
    NOT_A_DIGIT = "not_a_digit"
    SEVERAL = "several"
    MISSING = "missing"
    CHANGED = "changed"
    NOT_A_FILE = "not_a_file"
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    UNDECODABLE = "undecodable"
    TOO_LARGE = "too_large"
    CRASHED = "crashed"
    TIMEOUT = "timeout"


MEANINGS: Mapping[Status, str] = {
    Status.OK: "read and scored",
    Status.BLANK: "read, and no ink found on it",
    Status.NOT_A_DIGIT: "read, but what is written is no digit: a cross, a hyphen, a scribble, a letter",
    Status.SEVERAL: "read, but more than one digit is written",
    Status.MISSING: "listed, but gone or not readable when its turn came",
    Status.CHANGED: "not the file that was listed: its size or time of change is another",
    Status.NOT_A_FILE: "a link, pipe, socket, device or a folder that could not be listed; never opened",
    Status.EMPTY: "a file of zero bytes",
    Status.NOT_AN_IMAGE: "no picture by its first bytes: text, a document, an archive, or of no known kind",
    Status.UNDECODABLE: "a picture by its first bytes, but truncated, corrupt or of a kind that is not read",
    Status.TOO_LARGE: "more bytes, pixels or pages than a digit scan can sensibly have",
    Status.CRASHED: "it kills the process that decodes it, or fills its memory: tried three times",
    Status.TIMEOUT: "not read and decoded within the time a scan may take: tried three times",
}

REFUSALS = (Status.NOT_A_DIGIT, Status.SEVERAL)  # what the outputs of a model after its ten digits stand for
READ = (Status.OK, Status.BLANK, *REFUSALS)  # the statuses of scans that could be read
# A disk, a network or a busy machine may be the reason.
PASSING = (Status.MISSING, Status.CHANGED, Status.CRASHED, Status.TIMEOUT)
