"""Walk the segments of a JBIG2 picture in a PDF (ITU-T T.88, 7.2): is all of it there? Nothing is decoded here."""

import struct
from collections.abc import Iterator

_FILE_HEADER = b"\x97JB2\r\n\x1a\n"
_SHORTEST = 11  # bytes of the header of a segment
_UNKNOWN = 0xFFFFFFFF  # the length of a region that was written before it was known
_GENERIC = (36, 38, 39)  # the only regions whose length may be unknown
_REGION_HEADER = 18  # bytes of a generic region before its pixels; the last says whether they are coded as a fax
_REGIONS = frozenset((4, 6, 7, 20, 22, 23, 36, 38, 39, 40, 42, 43))
_EARLY = "truncated PDF: the data of a picture on the page ends early"
_ENDS = (49, 51)  # of a page and of a file; nothing that follows is drawn


def fault(data: bytes) -> str | None:
    """What is wrong with the data of a picture, as far as its segments show that; None if nothing is."""
    if data.startswith(_FILE_HEADER):
        return "corrupt PDF: a JBIG2 picture on the page begins with the header of a file, which has no place in a PDF"
    kinds = set()
    try:
        for kind, end in _segments(data):
            if end > len(data):
                return _EARLY
            kinds.add(kind)
    except struct.error:  # within the header of a segment
        return _EARLY
    if not kinds & _REGIONS:
        return "corrupt PDF: a JBIG2 picture on the page has no part that is drawn: it is empty, or its parts are lost"
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """The kind of each segment and where it ends, which may be beyond the data."""
    at, kind = 0, 0
    while kind not in _ENDS and (len(data) - at >= _SHORTEST or data[at:].strip(b"\0\r\n")):  # some streams are padded
        kind, start, length = _header(data, at)
        at = _end_of_unknown(data, start) if length == _UNKNOWN and kind in _GENERIC else start + length
        yield kind, at


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """The kind of the segment at a place, where its data starts, and how long it is; struct.error if it ends early."""
    number, flags, count = struct.unpack_from(">IBB", data, at)
    at, references = at + 6, count >> 5  # to other segments
    if references == 7:  # more than four
        references = struct.unpack_from(">I", data, at - 1)[0] & 0x1FFFFFFF
        at += 3 + (references + 8) // 8
    at += references * (1 if number <= 256 else 2 if number <= 65536 else 4) + (4 if flags & 0x40 else 1)
    return flags & 0x3F, at + 4, struct.unpack_from(">I", data, at)[0]


def _end_of_unknown(data: bytes, start: int) -> int:
    """Where a region of unknown length ends: four bytes after a mark, which is another one if it is coded as a fax."""
    pixels = start + _REGION_HEADER
    is_fax = int.from_bytes(data[pixels - 1 : pixels]) & 1
    mark = data.find(b"\0\0" if is_fax else b"\xff\xac", pixels)
    return mark + 6 if mark > 0 else len(data) + 1
