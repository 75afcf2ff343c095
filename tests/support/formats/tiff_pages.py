"""TIFF by what its directories are: pages, thumbnails, masks, levels of a pyramid, and a page that cannot be read."""

from collections.abc import Iterator
from io import BytesIO

import numpy as np
import tifffile
from PIL import Image

from tests.support.formats.drawing import LOSSY, Kind, Row, colour, grey, narrow, pillow, turned
from tests.support.formats.tiff_compressions import bits, fax_page, fax_strip, written
from tests.support.formats.tiff_writer import Page, page, tiff

FOUR, SIX = Row(), Row(shows="6")
SMALL = narrow(grey("6"), 0.25, 0.25)  # another digit: a thumbnail that is read shows


def unknown() -> Page:
    """A page whose compression nobody has."""
    return Page(page(grey(), compression=61234).tags, [bytes(200)])


def outside() -> Page:
    """A page whose pixels lie behind the end of the file."""
    return Page(page(grey(), {273: 50_000_000, 279: 32_000}, compression=1).tags, [])


def several() -> Iterator[Kind]:
    """Every page is a row."""
    yield Kind("TIFF of three pages", lambda: tiff(page(grey()), page(grey("6")), page(grey())), (FOUR, SIX, FOUR))
    yield Kind(
        "TIFF of three pages, big-endian",
        lambda: tiff(page(grey("6")), page(grey()), page(grey()), order=">"),
        (SIX, FOUR, FOUR),
    )
    yield Kind(
        "TIFF of pages of every kind",
        lambda: tiff(
            page(grey()),
            fax_page(4, fax_strip()),
            page(colour("6"), tile=64),
            page(grey("6") // 17, bits=4),
            page(turned(grey(), 6), {274: 6}),
            page(grey().astype(np.uint16) * 257, bits=16),
        ),
        (FOUR, FOUR, SIX, SIX, FOUR, FOUR),
    )
    yield Kind(
        "TIFF of pages with their numbers",
        lambda: tiff(page(grey(), {254: 2, 297: [0, 2]}), page(grey("6"), {254: 2, 297: [1, 2]})),
        (FOUR, SIX),
    )
    yield Kind("TIFF of pages whose directories lie in another order", in_another_order, (FOUR, SIX, FOUR))
    yield Kind(
        "TIFF of pages by Pillow",
        lambda: pillow(pages()[0], "TIFF", save_all=True, append_images=pages()[1:], compression="tiff_lzw"),
        (FOUR, SIX),
    )
    yield Kind(
        "TIFF of pages by tifffile, in tiles",
        lambda: written(
            np.stack([grey(), grey("6"), grey()]), photometric="minisblack", tile=(32, 32), compression="zstd"
        ),
        (FOUR, SIX, FOUR),
    )
    yield Kind("TIFF of pages, OME", lambda: ome(), (FOUR, SIX))
    yield Kind(
        "TIFF of 40 pages",
        lambda: tiff(*[page(grey("46"[number % 2]), bits=8) for number in range(40)]),
        (FOUR, SIX) * 20,
    )
    yield Kind(
        "TIFF of pages, light on dark and dark on light",
        lambda: tiff(page(grey()), page(255 - grey("6"))),
        (FOUR, Row(shows="6", polarity="light_on_dark")),
    )


def ome() -> bytes:
    """Two pages as microscopes describe them, in XML."""
    buffer = BytesIO()
    tifffile.imwrite(buffer, np.stack([grey(), grey("6")]), ome=True, photometric="minisblack")
    return buffer.getvalue()


def pages() -> list[Image.Image]:
    """Two pages for Pillow."""
    return [Image.fromarray(grey("4")), Image.fromarray(colour("6"))]


def in_another_order() -> bytes:
    """Three pages, the chain of whose directories runs 1, 3, 2 in the file."""
    file = bytearray(tiff(page(grey()), page(grey()), page(grey("6"))))
    first = int.from_bytes(file[4:8], "little")
    links = [first + 2 + 12 * int.from_bytes(file[first : first + 2], "little")]
    for _ in range(2):
        at = int.from_bytes(file[links[-1] : links[-1] + 4], "little")
        links.append(at + 2 + 12 * int.from_bytes(file[at : at + 2], "little"))
    second, third, end = (bytes(file[link : link + 4]) for link in links)
    for link, value in zip(links, (third, end, second), strict=True):
        file[link : link + 4] = value
    return bytes(file)


def no_pages() -> Iterator[Kind]:
    """Directories that are no page of their own: tag 254 bit 0, a picture in small; bit 2, a mask; 255 of old."""
    small = page(SMALL, {254: 1})
    yield Kind("TIFF with a thumbnail after its page", lambda: tiff(page(grey()), small))
    yield Kind("TIFF with a thumbnail before its page", lambda: tiff(small, page(grey())))
    yield Kind(
        "TIFF with a JPEG thumbnail after each page",
        lambda: tiff(page(grey()), jpeg_thumbnail(), page(grey("6")), jpeg_thumbnail()),
        (FOUR, SIX),
    )
    yield Kind("TIFF with a thumbnail, old tag 255", lambda: tiff(page(grey(), {255: 1}), page(SMALL, {255: 2})))
    yield Kind(
        "TIFF of pages, old tag 255", lambda: tiff(page(grey(), {255: 3}), page(grey("6"), {255: 3})), (FOUR, SIX)
    )
    yield Kind("TIFF with a mask", lambda: tiff(page(grey()), page(bits("6"), {254: 4, 262: 4}, bits=1)))
    yield Kind(
        "TIFF with the mask of its thumbnail",
        lambda: tiff(page(grey()), small, page(bits("6"), {254: 5, 262: 4}, bits=1)),
    )
    yield Kind(
        "TIFF with levels of a pyramid",
        lambda: tiff(
            page(grey(), tile=64), *[page(narrow(grey("6"), share, share), {254: 1}, tile=16) for share in (0.5, 0.25)]
        ),
    )
    yield Kind(
        "TIFF with levels in SubIFDs",
        lambda: tiff(page(grey(), tile=64, below=[page(narrow(grey("6"), 0.5, 0.5), {254: 1}, tile=16)])),
    )
    yield Kind(
        "TIFF of pages with SubIFDs",
        lambda: tiff(page(grey(), below=[small, page(SMALL, {254: 1})]), page(grey("6"), below=[small])),
        (FOUR, SIX),
    )
    yield Kind("TIFF with SubIFDs by tifffile", subifds)
    yield Kind(
        "BigTIFF with a thumbnail and a mask",
        lambda: tiff(page(grey()), small, page(bits("6"), {254: 4, 262: 4}, bits=1), big=True, order=">"),
    )
    yield Kind("TIFF with an EXIF directory", lambda: pillow(pages()[0], "TIFF", exif=exif()))
    yield Kind(
        "TIFF with a thumbnail that cannot be read",
        lambda: tiff(page(grey()), Page({**unknown().tags, 254: 1}, [bytes(200)]), page(grey("6"))),
        (FOUR, SIX),
    )


def exif() -> Image.Exif:
    """EXIF with a directory of its own below it."""
    found = Image.Exif()
    found.get_ifd(0x8769)[0x9003] = "2026:11:28 03:10:00"
    return found


def jpeg_thumbnail() -> Page:
    """A thumbnail compressed as JPEG."""
    return Page(page(SMALL, {254: 1}, compression=7).tags, [pillow(SMALL, "JPEG")])


def subifds() -> bytes:
    """A pyramid as tifffile (and many microscopes) write it."""
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(grey(), subifds=1, photometric="minisblack", tile=(64, 64), metadata=None)
        file.write(narrow(grey("6"), 0.5, 0.5), subfiletype=1, photometric="minisblack", tile=(64, 64), metadata=None)
    return buffer.getvalue()


def bad() -> Iterator[Kind]:
    """A page that cannot be read is a row; those beside it are read."""
    refused = Row("undecodable", word="61234")
    lost = Row("undecodable")
    yield Kind(
        "TIFF with an unknown compression between pages",
        lambda: tiff(page(grey()), unknown(), page(grey("6"))),
        (FOUR, refused, SIX),
    )
    yield Kind("TIFF with an unknown compression first", lambda: tiff(unknown(), page(grey("6"))), (refused, SIX))
    yield Kind("TIFF with an unknown compression last", lambda: tiff(page(grey()), unknown()), (FOUR, refused))
    yield Kind(
        "TIFF with two bad pages of three", lambda: tiff(unknown(), page(grey()), outside()), (refused, FOUR, lost)
    )
    yield Kind(
        "TIFF with a page outside the file", lambda: tiff(page(grey()), outside(), page(grey("6"))), (FOUR, lost, SIX)
    )
    yield Kind(
        "TIFF with a page of floats between pages",
        lambda: tiff(page(grey()), floats(), page(grey("6"))),
        (FOUR, Row("undecodable", word="float"), SIX),
    )
    yield Kind(
        "TIFF with a page too large between pages",
        lambda: tiff(page(grey()), page(grey(), {256: 20_000, 257: 20_000}), page(grey("6"))),
        (FOUR, Row("too_large"), SIX),
    )
    yield Kind(
        "BigTIFF with an unknown compression between pages",
        lambda: tiff(page(grey()), unknown(), page(grey("6")), big=True),
        (FOUR, refused, SIX),
    )
    yield Kind(
        "TIFF with a fax page, a JPEG 2000 page and a JPEG page",
        lambda: tiff(
            fax_page(4, fax_strip()),
            Page(page(grey(), compression=34712).tags, [bytes(100)]),
            Page(page(grey("6"), compression=7).tags, [pillow(grey("6"), "JPEG", quality=95)]),
        ),
        (FOUR, Row("undecodable", word="JPEG 2000"), Row(shows="6", tolerance=LOSSY)),
    )


def floats() -> Page:
    """A page of float32."""
    around = page(grey(), {258: 32, 339: 3})
    around.blocks[:] = [(grey() / 255).astype("<f4").tobytes()]
    return around


def kinds() -> Iterator[Kind]:
    """All of them."""
    for each in (several, no_pages, bad):
        yield from each()


def thousand_cells() -> bytes:
    """1,000 pages of one small cell each."""
    cell = page(narrow(grey(), 0.35, 0.32), rows_per_strip=64)
    return tiff(*[cell] * 1000)
