"""PDF by hand (ISO 32000): its objects, byte by byte."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
POINTS = 72  # to the inch

FIRST = 3  # the number of the first of ``pdf``'s more objects


def stream(entries: bytes, data: bytes) -> bytes:
    """A stream object with these entries in its dictionary."""
    return b"<<%s/Length %d>>\nstream\n%s\nendstream" % (entries, len(data), data)


def image(width: int, height: int, entries: bytes, data: bytes) -> bytes:
    """A picture as an XObject."""
    size = b"/Type/XObject/Subtype/Image/Width %d/Height %d" % (width, height)
    return stream(size + entries, data)


def deflated(samples: Pixels, entries: bytes = b"") -> bytes:
    """A picture in Deflate: uint8 (H, W) in grey or (H, W, 3), red first."""
    colours = b"/DeviceGray" if samples.ndim == 2 else b"/DeviceRGB"
    more = b"/ColorSpace%s/BitsPerComponent 8/Filter/FlateDecode" % colours + entries
    return image(samples.shape[1], samples.shape[0], more, zlib.compress(samples.tobytes()))


@dataclass
class Page:
    """A page: what it draws, its pictures and forms by name, its size in points, and more entries."""

    content: bytes
    objects: Mapping[str, bytes] = field(default_factory=dict)
    box: tuple[float, float, float, float] = (0, 0, 57.6, 72)
    entries: bytes = b""


def numbers(*values: float) -> bytes:
    """Numbers as PDF writes them."""
    return b" ".join(b"%.5f" % value for value in values)


def placed(name: str, *matrix: float) -> bytes:
    """Draw a picture whose unit square this matrix lays on the page."""
    return b"q %s cm /%s Do Q\n" % (numbers(*matrix), name.encode())


def filled(picture: bytes, width: float, height: float, entries: bytes = b"") -> Page:
    """A page that a picture fills, of this size in points."""
    return Page(placed("I", width, 0, 0, height, 0, 0), {"I": picture}, (0, 0, width, height), entries)


def pdf(*pages: Page, more: Sequence[bytes] = (), catalog: bytes = b"", trailer: bytes = b"") -> bytes:
    """A whole file; ``more`` objects are numbered from ``FIRST``."""
    objects: list[bytes] = [b"", b"", *more]
    kids = []
    for page in pages:
        names = []
        for name, content in page.objects.items():
            objects.append(content)
            names.append(b"/%s %d 0 R" % (name.encode(), len(objects)))
        objects.append(stream(b"", page.content))
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[%s]/Resources<</XObject<<%s>>>>/Contents %d 0 R%s>>"
            % (numbers(*page.box), b"".join(names), len(objects), page.entries)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[0] = b"<</Type/Catalog/Pages 2 0 R%s>>" % catalog
    objects[1] = b"<</Type/Pages/Kids[%s]/Count %d>>" % (b" ".join(kids), len(kids))
    content, places = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return content + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n"
        % (len(objects) + 1, table, len(objects) + 1, trailer, len(content))
    )
