"""Split a PBM, PGM or PPM file into its images. Nothing is decoded here."""

import re

from mnist_batch.errors import Unreadable
from mnist_batch.statuses import Status
from mnist_batch.wording import counted

_GAP = rb"(?:\s|#[^\n]*\n)+"
_HEADER = re.compile(rb"P([1-6])" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)")
_MAXIMUM = re.compile(_GAP + rb"(\d+)")
_NEXT = re.compile(rb"[^P#]*(?:#[^\n]*\n?[^P#]*)*")  # up to the next P outside a comment


def images(data: bytes, most: int) -> tuple[list[tuple[bytes, int]], Unreadable | None]:
    """Each image of a file as (its bytes, the sample value of white), and the fault that ended the list, if any.

    A plain image ends where the next begins; white space may follow a raw one. Anything else after the last image is
    ignored. Raises Unreadable (``undecodable``) if the first image cannot be read.
    """
    images_so_far: list[tuple[bytes, int]] = []
    at = 0
    while re.match(rb"P[1-7]\s", data[at : at + 3]):
        if len(images_so_far) == most:
            return images_so_far, Unreadable(Status.TOO_LARGE, f"more than {counted(most, 'image')}: split the file")
        try:
            end, maximum = _end(data, at)
        except Unreadable as error:
            if not images_so_far:
                raise
            return images_so_far, error
        plain = data[at + 1 : at + 2] in b"123"
        images_so_far.append((data[at:end] + b"\n" * plain, maximum))  # OpenCV needs one after the last number
        at = end + len(data[end : end + 4096]) - len(data[end : end + 4096].lstrip())
    return images_so_far, None


def _end(data: bytes, at: int) -> tuple[int, int]:
    """Where the image that starts at ``at`` ends, and its sample value of white."""
    if data[at : at + 2] == b"P7":
        raise Unreadable(Status.UNDECODABLE, "a PAM image, which is not read; save it as PNG or TIFF")
    header = _HEADER.match(data, at)
    form = header[1] if header else b""
    maximum = _MAXIMUM.match(data, header.end()) if header and form not in b"14" else header
    if header is None or maximum is None:
        raise Unreadable(Status.UNDECODABLE, "truncated or corrupt PNM: its header has no size")
    width, height = int(header[2]), int(header[3])
    white = int(maximum[1]) if form not in b"14" else 1
    if not 0 < white < 65536:
        raise Unreadable(Status.UNDECODABLE, f"corrupt PNM: its maximum is {white}")
    if form in b"123":
        rest = _NEXT.match(data, maximum.end())
        return rest.end() if rest else len(data), white
    row = (width + 7) // 8 if form == b"4" else width * (3 if form == b"6" else 1) * (1 if white < 256 else 2)
    end = maximum.end() + 1 + row * height
    if end > len(data):
        raise Unreadable(Status.UNDECODABLE, f"truncated PNM: {len(data) - at:,} of its {end - at:,} bytes are there")
    return end, white
