"""The status of each listed page, as ``predictions`` has it, and what each status means."""

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    """What became of a page. The value is the text in the tables."""

    OK = "ok"
    KNOWN = "known"
    REPEATED = "repeated"
    BLANK = "blank"
    NOT_A_DIGIT = "not_a_digit"
    SEVERAL = "several"
    CROSSED = "crossed"
    BLANK_PAGE = "blank_page"
    UNKNOWN_FORM = "unknown_form"
    OTHER_VERSION = "other_version"
    TWO_SHEETS = "two_sheets"
    NOT_REGISTERED = "not_registered"
    CUT_OFF = "cut_off"
    SHIFTED = "shifted"
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
    Status.KNOWN: "of the same bytes as a scan of an earlier run, which has the answer",
    Status.REPEATED: "of the same bytes as an earlier scan of this run, which has the answer",
    Status.BLANK: "read, but no ink was found on it",
    Status.NOT_A_DIGIT: "read, but it holds no digit: a cross, a hyphen, a scribble or a letter",
    Status.SEVERAL: "read, but it holds more than one digit",
    Status.CROSSED: "read, but a stroke is drawn through the empty cell",
    Status.BLANK_PAGE: "read, but nothing is printed or written on the page",
    Status.UNKNOWN_FORM: "read, but the page is of none of the forms given",
    Status.OTHER_VERSION: "read, but the page is of another version of a form than the one given",
    Status.TWO_SHEETS: "more than one sheet lies on the page, so that one may hide what is written on another",
    Status.NOT_REGISTERED: "like a form, but where the form lies on the page could not be found",
    Status.CUT_OFF: "the cell lies outside the page that was scanned",
    Status.SHIFTED: "the printed frame of the cell's field is not where the form has it",
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

SAME = (Status.KNOWN, Status.REPEATED)  # the answer is in the row that ``same_as`` names
REFUSALS = (Status.NOT_A_DIGIT, Status.SEVERAL)  # the model's outputs after its ten digits, in this order
OF_PAGES = (Status.BLANK_PAGE, Status.UNKNOWN_FORM, Status.OTHER_VERSION)  # of pages without cells that were read
READ = (Status.OK, *SAME, Status.BLANK, *REFUSALS, Status.CROSSED, *OF_PAGES)  # the statuses of what could be read
# The cause may pass: a disk, a network or a busy machine.
PASSING = (Status.MISSING, Status.CHANGED, Status.CRASHED, Status.TIMEOUT)
