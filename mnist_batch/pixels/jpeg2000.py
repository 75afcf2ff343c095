"""Read the header of a JPEG 2000 codestream: how deep its samples are. Nothing is decoded here."""

from mnist_batch.errors import Unreadable
from mnist_batch.statuses import Status

_START = b"\xff\x4f\xff\x51"  # of a codestream; the sizes follow
_COUNT = 40  # bytes from the start to the number of components, of which each has three bytes
_DEEPEST = 20  # bits; measured with OpenJPEG: lossy pictures of 22 bits or more come out as noise, all of 26 do


def need_readable(data: bytes) -> None:
    """Raise Unreadable if a picture has samples of more bits than are decoded rightly."""
    start = data.find(_START)
    at = start + _COUNT
    if start < 0 or len(data) < at + 2:
        return  # its decoder says what is wrong with it
    depths = data[at + 2 : at + 2 + 3 * int.from_bytes(data[at : at + 2], "big") : 3]
    bits = max(((depth & 0x7F) + 1 for depth in depths), default=0)  # the first bit is the sign's
    if bits > _DEEPEST:
        raise Unreadable(
            Status.UNDECODABLE,
            f"a JPEG 2000 of {bits} bits a sample, which is not read; save it with 8 bits, or as PNG",
        )
