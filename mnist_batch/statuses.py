"""The status of each listed page, as ``predictions`` has it, and what each status means."""

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    """What became of a page. The value is the text in the tables."""

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
    Status.BLANK: "read, but no ink was found on it",
    Status.NOT_A_DIGIT: "read, but it holds no digit: a cross, a hyphen, a scribble or a letter",
    Status.SEVERAL: "read, but it holds more than one digit",
    Status.MISSING: "listed, but gone or unreadable when its turn came",
    Status.CHANGED: "its size or modification time is not the one that was listed",
    Status.NOT_A_FILE: "a link, pipe, socket or device, which is never opened, or a folder that could not be listed",
    Status.EMPTY: "a file of zero bytes",
    Status.NOT_AN_IMAGE: "not a picture by its first bytes: text, a document, an archive, or an unknown format",
    Status.UNDECODABLE: "a picture by its first bytes, but truncated, corrupt or in a format that is not read",
    Status.TOO_LARGE: "more bytes, pixels or pages than the limits allow",
    Status.CRASHED: "it killed the process that decodes it, or filled its memory, three times",
    Status.TIMEOUT: "not read and decoded within the time limit, three times",
}

REFUSALS = (Status.NOT_A_DIGIT, Status.SEVERAL)  # the model's outputs after its ten digits, in this order
READ = (Status.OK, Status.BLANK, *REFUSALS)  # the statuses of scans that could be read
# The cause may pass: a disk, a network or a busy machine.
PASSING = (Status.MISSING, Status.CHANGED, Status.CRASHED, Status.TIMEOUT)
