"""Read the markers of a JPEG before its pixels: its density, and why it is not read. Nothing is decoded here."""

import struct
from collections.abc import Iterator

from PIL import Image

_SCAN = 0xDA  # the pixels follow
_NOT_KNOWN = b"\0\0\1\0\1"  # what programs write for a density that they do not know: square pixels, without unit


def density(data: bytes) -> tuple[float, float]:
    """Pixels per unit across and down, as JFIF says it, or EXIF where JFIF does not; (0, 0) if not given."""
    by_exif = 0.0, 0.0
    for marker, content in _markers(data):
        if marker == 0xE0 and content.startswith(b"JFIF\0") and content[7:12] != _NOT_KNOWN and len(content) >= 12:
            return struct.unpack_from(">HH", content, 8)
        if marker == 0xE1 and content.startswith(b"Exif\0\0"):
            by_exif = _of_exif(content)
        if marker == _SCAN:
            break
    return by_exif


def _of_exif(content: bytes) -> tuple[float, float]:
    exif = Image.Exif()
    try:
        exif.load(content)
        return float(exif.get(282, 0)), float(exif.get(283, 0))
    except Exception:  # noqa: BLE001 - unreadable EXIF says nothing
        return 0, 0


def why_not(data: bytes) -> str:
    """The reason why a JPEG cannot be read."""
    for marker, content in _markers(data):
        if marker == 0xF7:
            return "a JPEG-LS image, which is not read; save it as PNG or TIFF"
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # the frame
            if content[:1] != b"\x08":
                bits = content[0] if content else 0
                return f"a JPEG of {bits} bits a sample, which is not read; save it with 8 bits, or as PNG"
            if marker & 0b111 in (5, 6, 7):
                return "a hierarchical JPEG, which is not read; save it as PNG or TIFF"
            if content[1:3] == b"\0\0":
                return "a JPEG whose height follows its pixels (DNL), which is not read; save it as PNG or TIFF"
            break
    return "truncated or corrupt JPEG"


def _markers(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xFF:  # a fill byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield data[at + 1], data[at + 4 : end]
        at = end
