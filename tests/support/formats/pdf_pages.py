"""PDF as scanners, faxes and programs write it; and what is no page that can be read."""

import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np
from PIL import Image

from tests.support.formats.drawing import (
    EXACT,
    HEIGHT,
    LOSSY,
    RESAMPLED,
    WIDTH,
    Kind,
    Pixels,
    Row,
    colour,
    grey,
    narrow,
    pillow,
    strokes,
)
from tests.support.formats.modern import deep
from tests.support.formats.pdf_writer import (
    FIRST,
    POINTS,
    Page,
    deflated,
    filled,
    image,
    numbers,
    pdf,
    placed,
    stream,
)
from tests.support.formats.tiff_compressions import fax_strip

W, H = WIDTH * POINTS / 200, HEIGHT * POINTS / 200  # of the drawing at 200 dots per inch
GREY, SIX = b"/ColorSpace/DeviceGray/BitsPerComponent ", Row(shows="6")


def scan(digit: str = "4", entries: bytes = b"") -> Page:
    """A page that a grey scan fills."""
    return filled(deflated(grey(digit)), W, H, entries)


def pictures() -> Iterator[Kind]:
    """A picture fills the page, in each compression and colour."""
    page, bits = grey(), np.packbits(~strokes(), axis=1)
    jpeg, cmyk = pillow(page, "JPEG", quality=90), Image.fromarray(colour()).convert("CMYK")
    fax = fax_strip()
    palette = bytes(range(0, 256, 17))[::-1]
    for name, entries, data in [
        ("JPEG", GREY + b"8/Filter/DCTDecode", jpeg),
        ("JPEG in Deflate", GREY + b"8/Filter[/FlateDecode/DCTDecode]", zlib.compress(jpeg)),
        ("JPEG in ASCII", GREY + b"8/Filter[/ASCIIHexDecode/DCTDecode]", jpeg.hex().encode() + b">"),
        ("JPEG that is filled up behind its end", GREY + b"8/Filter/DCTDecode", jpeg + bytes(600)),
        ("JPEG in colour", b"/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter/DCTDecode", pillow(colour(), "JPEG")),
        ("JPEG in CMYK", b"/ColorSpace/DeviceCMYK/BitsPerComponent 8/Decode[1 0 1 0 1 0 1 0]/Filter/DCTDecode",
         pillow(cmyk, "JPEG", quality=90)),
        ("JPEG 2000", b"/Filter/JPXDecode", imagecodecs.jpeg2k_encode(page)),
        ("fax", GREY + b"1/Filter/CCITTFaxDecode/DecodeParms<</K -1/Columns 160/Rows 200>>", fax),
        ("JBIG2", GREY + b"1/Filter/JBIG2Decode", jbig2(fax)),
        ("JBIG2 of unknown length", GREY + b"1/Filter/JBIG2Decode", jbig2(fax, is_length_known=False)),
        ("JBIG2 in Deflate, with a line's end behind it", GREY + b"1/Filter[/FlateDecode/JBIG2Decode]",
         zlib.compress(jbig2(fax) + b"\r\n")),
        ("1 bit", GREY + b"1/Filter/FlateDecode", zlib.compress(bits.tobytes())),
        ("4 bits", GREY + b"4/Filter/FlateDecode",
         zlib.compress(((page[:, ::2] & 0xF0) | page[:, 1::2] >> 4).tobytes())),
        ("16 bits", GREY + b"16/Filter/FlateDecode", zlib.compress((page.astype(">u2") * 257).tobytes())),
        ("LZW", GREY + b"8/Filter/LZWDecode", imagecodecs.lzw_encode(page.tobytes())),
        ("run lengths", GREY + b"8/Filter/RunLengthDecode", imagecodecs.packbits_encode(page.tobytes()) + b"\x80"),
        ("nothing", GREY + b"8", page.tobytes()),
        ("a predictor", GREY + b"8/Filter/FlateDecode/DecodeParms<</Predictor 15/Columns 160>>",
         zlib.compress(np.insert(np.diff(page, axis=1, prepend=0).astype(np.uint8), 0, 1, axis=1).tobytes())),
        ("light and dark exchanged", GREY + b"8/Decode[1 0]/Filter/FlateDecode", zlib.compress((255 - page).tobytes())),
        ("a palette", b"/ColorSpace[/Indexed/DeviceGray 15<%s>]/BitsPerComponent 8/Filter/FlateDecode"
         % palette.hex().encode(), zlib.compress((15 - page // 17).tobytes())),
    ]:  # fmt: skip
        tolerance = LOSSY if "JPEG" in name or "colour" in name else EXACT
        content = pdf(filled(image(WIDTH, HEIGHT, entries, data), W, H))
        yield Kind(f"PDF of a picture in {name}", lambda content=content: content, (Row(tolerance=tolerance),))
    yield Kind("PDF by Pillow", lambda: pillow(page, "PDF", resolution=200), (Row(tolerance=LOSSY),))
    yield Kind("PDF by Pillow, 1 bit", lambda: pillow(Image.fromarray(page).convert("1", dither=0), "PDF"))


def jbig2(fax: bytes, is_length_known: bool = True) -> bytes:
    """A page of JBIG2 (ISO/IEC 14492) as PDF embeds it: one region, which is coded as a fax is."""
    size = struct.pack(">II", WIDTH, HEIGHT)
    information = size + bytes(8) + b"\0\0\0"
    region = size + bytes(9) + b"\1" + fax
    if is_length_known:
        return segment(0, 0x30, information) + segment(1, 0x26, region)
    end = b"\0\0" + struct.pack(">I", HEIGHT)
    return segment(0, 0x30, information) + segment(1, 0x26, region + end, 0xFFFFFFFF) + segment(2, 0x31, b"")


def segment(number: int, kind: int, data: bytes, length: int | None = None) -> bytes:
    """A segment of JBIG2, of page 1."""
    return struct.pack(">IBBBI", number, kind, 0, 1, len(data) if length is None else length) + data


def places() -> Iterator[Kind]:
    """How the scan lies on its page, and what else lies there."""
    page = deflated(grey())
    yield Kind("PDF of three pages", lambda: pdf(scan(), scan("6"), scan()), (Row(), SIX, Row()))
    for turn in (90, 180, 270):
        stored = np.rot90(grey(), turn // 90)
        wide, high = stored.shape[1] * POINTS / 200, stored.shape[0] * POINTS / 200
        entries = b"/Rotate %d" % turn
        yield Kind(
            f"PDF turned by {turn}",
            lambda stored=stored, wide=wide, high=high, entries=entries: pdf(
                filled(deflated(stored), wide, high, entries)
            ),
        )
    yield Kind(
        "PDF of a scan that was turned on its page",
        lambda: pdf(Page(placed("I", 0, H, -W, 0, W, 0), {"I": deflated(np.rot90(grey(), -1))}, (0, 0, W, H))),
    )
    yield Kind(
        "PDF with a crop box",
        lambda: pdf(
            Page(placed("I", W, 0, 0, H, 100, 50), {"I": page}, (0, 0, 300, 300),
                 b"/CropBox[%s]" % numbers(100, 50, 100 + W, 50 + H))
        ),
    )  # fmt: skip
    yield Kind(
        "PDF with margins around the scan",
        lambda: pdf(Page(placed("I", W, 0, 0, H, 5, 6), {"I": page}, (0, 0, W + 10, H + 10))),
    )
    third = len(grey()) // 4
    strips = {f"S{number}": deflated(grey()[number * third : (number + 1) * third]) for number in range(4)}
    yield Kind(
        "PDF of a scan in strips",
        lambda: pdf(
            Page(
                b"".join(placed(name, W, 0, 0, H / 4, 0, H - (at + 1) * H / 4) for at, name in enumerate(strips)),
                strips, (0, 0, W, H),
            )
        ),
    )  # fmt: skip
    yield Kind(
        "PDF of a scan in a form",
        lambda: pdf(
            Page(b"q 2 0 0 2 0 0 cm /F Do Q", {"F": stream(
                b"/Type/XObject/Subtype/Form/BBox[0 0 1000 1000]/Resources<</XObject<</I 3 0 R>>>>",
                placed("I", W / 2, 0, 0, H / 2, 0, 0))}, (0, 0, W, H)),
            more=[page],
        ),
    )  # fmt: skip
    yield Kind(
        "PDF of a fax of 204x98",
        lambda: pdf(filled(deflated(narrow(grey(), down=98 / 204)), W, H)),
        (Row(tolerance=RESAMPLED),),
    )
    yield Kind(
        "PDF of a fax of 204x98 on its side",
        lambda: pdf(filled(deflated(narrow(np.rot90(grey()), across=98 / 204)), H, W, b"/Rotate 90")),
        (Row(tolerance=RESAMPLED),),
    )
    yield Kind("PDF of a leaning scan", lambda: leaning(), (Row(tolerance=RESAMPLED),))
    yield Kind("PDF after a line of something else", lambda: b"\r\n" * 200 + pdf(scan()))
    yield Kind("PDF in which nothing is where it says", lambda: pdf(scan()).replace(b"startxref\n", b"startxref\n1"))


def leaning() -> bytes:
    """A scan that lies on its page turned by half a degree."""
    sine, cosine = np.sin(np.deg2rad(0.5)), np.cos(np.deg2rad(0.5))
    matrix = W * cosine, W * sine, -H * sine, H * cosine, 0, 0
    return pdf(Page(placed("I", *matrix), {"I": deflated(grey())}, (0, 0, W, H)))


def path(digit: str = "4") -> bytes:
    """The drawing in lines of PDF, on a page of W x H points."""
    mask = strokes(digit)
    runs = []
    for row, line in enumerate(mask):
        edges = np.flatnonzero(np.diff(line.astype(np.int8), prepend=0, append=0))
        runs += [(left, row, right - left) for left, right in edges.reshape(-1, 2)]
    unit = W / WIDTH
    boxes = (numbers(left * unit, H - (row + 1) * unit, wide * unit, unit) + b" re" for left, row, wide in runs)
    return b"\n".join(boxes) + b" f\n"


def drawings() -> Iterator[Kind]:
    """Pages that are more than a picture: masks, lines, annotations, fields."""
    near, blank = (Row(tolerance=LOSSY),), np.full((HEIGHT, WIDTH), 255, np.uint8)
    yield Kind("PDF of lines", lambda: pdf(Page(path(), box=(0, 0, W, H))), near)
    yield Kind("PDF of lines over a scan", lambda: pdf(over(blank, path())), near)
    stencil = image(WIDTH, HEIGHT, b"/ImageMask true/BitsPerComponent 1/Filter/FlateDecode",
                    zlib.compress(np.packbits(~strokes(), axis=1).tobytes()))  # fmt: skip
    yield Kind("PDF of a mask", lambda: pdf(filled(stencil, W, H)))
    yield Kind(
        "PDF of ink in a soft mask",
        lambda: pdf(
            filled(deflated(np.zeros_like(grey()), b"/SMask %d 0 R" % FIRST), W, H),
            more=[deflated(strokes().astype(np.uint8) * 255)],
        ),
    )
    coarse = deflated(np.full((HEIGHT // 2, WIDTH // 2), 240, np.uint8))
    yield Kind(
        "PDF of layers",
        lambda: pdf(Page(placed("B", W, 0, 0, H, 0, 0) + placed("I", W, 0, 0, H, 0, 0), {"B": coarse, "I": stencil},
                         (0, 0, W, H))),
        near,
    )  # fmt: skip
    speck = image(1, 1, GREY + b"8/SMask %d 0 R" % FIRST, b"\0")
    yield Kind(
        "PDF of ink that is all in the mask of one pixel",
        lambda: pdf(filled(speck, W, H), more=[deflated(strokes().astype(np.uint8) * 255)]),
        near,
    )
    yield Kind("PDF with ink drawn over its scan", lambda: annotated(b"/Subtype/Ink/InkList[[0 0 9 9]]"), near)
    yield Kind("PDF with ink drawn over its scan, without its looks", inked, (Row(tolerance=RESAMPLED),))
    yield Kind("PDF with a picture as a stamp", lambda: stamped(deflated(grey())), near)
    yield Kind("PDF with a stamp that is hidden and damaged", lambda: stamped(BROKEN, hidden=True, digit="4"))
    yield Kind("PDF of a pattern", lambda: tiled(deflated(grey())), near)
    yield Kind("PDF with a field that is filled in", lambda: annotated(b"/Subtype/Widget/FT/Tx/T(a)/V(4)", True), near)
    inline = b"q %s cm BI /W 160 /H 200 /CS /G /BPC 8 ID " % numbers(W, 0, 0, H, 0, 0)
    yield Kind("PDF of an inline picture", lambda: pdf(Page(inline + grey().tobytes() + b"\nEI Q", box=(0, 0, W, H))))


def over(scanned: Pixels, drawn: bytes) -> Page:
    """Lines over a scan that fills the page."""
    return Page(placed("I", W, 0, 0, H, 0, 0) + drawn, {"I": deflated(scanned)}, (0, 0, W, H))


def annotated(entries: bytes, is_field: bool = False) -> bytes:
    """An empty scan with an annotation that shows the digit."""
    look = stream(b"/Type/XObject/Subtype/Form/BBox[%s]" % numbers(0, 0, W, H), path())
    note = b"<</Type/Annot%s/F 4/Rect[%s]/AP<</N %d 0 R>>>>" % (entries, numbers(0, 0, W, H), FIRST)
    page = over(np.full((HEIGHT, WIDTH), 255, np.uint8), b"")
    page.entries = b"/Annots[%d 0 R]" % (FIRST + 1)
    catalog = b"/AcroForm<</Fields[%d 0 R]>>" % (FIRST + 1) if is_field else b""
    return pdf(page, more=[look, note], catalog=catalog)


BROKEN = image(WIDTH, HEIGHT, GREY + b"8/Filter/JPXDecode", bytes(99))


def stamped(picture: bytes, hidden: bool = False, digit: str = "") -> bytes:
    """A scan, which is empty or shows a digit, with a picture as a stamp over it."""
    look = stream(
        b"/Type/XObject/Subtype/Form/BBox[%s]/Resources<</XObject<</I %d 0 R>>>>" % (numbers(0, 0, W, H), FIRST),
        placed("I", W, 0, 0, H, 0, 0),
    )
    page = over(grey(digit) if digit else np.full((HEIGHT, WIDTH), 255, np.uint8), b"")
    page.entries = b"/Annots[<</Type/Annot/Subtype/Stamp/F %d/Rect[%s]/AP<</N %d 0 R>>>>]" % (
        6 if hidden else 4, numbers(0, 0, W, H), FIRST + 1,
    )  # fmt: skip
    return pdf(page, more=[picture, look])


def tiled(picture: bytes, attribute: bytes = b"cs /P scn 0 0 999 999 re f") -> bytes:
    """A page that is painted with a pattern, of which one tile with a picture fills it."""
    tile = stream(
        b"/Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[%s]/XStep %d/YStep %d"
        b"/Resources<</XObject<</I %d 0 R>>>>" % (numbers(0, 0, W, H), W + 1, H + 1, FIRST),
        placed("I", W, 0, 0, H, 0, 0),
    )
    page = pdf(Page(b"/Pattern " + attribute, box=(0, 0, W, H)), more=[picture, tile])
    return page.replace(b"/XObject<<>>", b"/Pattern<</P %d 0 R>>" % (FIRST + 1))


def inked() -> bytes:
    """An empty scan with ink over it, which a program only described."""
    unit = W / WIDTH
    lines = [[(92, 42), (34, 122), (128, 122)], [(104, 86), (96, 165)]]
    ink = b"".join(b"[%s]" % numbers(*(c for x, y in line for c in (x * unit, H - y * unit))) for line in lines)
    page = over(np.full((HEIGHT, WIDTH), 255, np.uint8), b"")
    page.entries = b"/Annots[<</Type/Annot/Subtype/Ink/F 4/Rect[%s]/C[0 0 0]/BS<</W %s>>/InkList[%s]>>]" % (
        numbers(0, 0, W, H), numbers(15 * unit), ink,
    )  # fmt: skip
    return pdf(page)


def refused() -> Iterator[Kind]:
    """What cannot be read, each told in its row and beside the pages that can be."""

    def no(word: str) -> Row:
        return Row("undecodable", word=word)

    whole, jpeg = pdf(scan()), pillow(grey(), "JPEG")
    yield Kind("PDF without a page", lambda: pdf(), (no("or one without a page"),))
    yield Kind("PDF that ends early", lambda: whole[: len(whole) // 2], (no("truncated or corrupt PDF"),))
    yield Kind("PDF that lacks its last line", lambda: whole[:-6], (Row(), no("truncated PDF")))
    lost = pdf(scan(), scan("6"), scan())
    gone = lost.replace(b"/Kids[", b"/Kids[99 0 R ").replace(b"/Count 3", b"/Count 4")
    yield Kind("PDF of which a page is missing", lambda: gone, (no("page 1: corrupt PDF"), Row(), SIX, Row()))
    yield Kind(
        "PDF of pages of which one is damaged",
        lambda: pdf(scan(), filled(image(WIDTH, HEIGHT, GREY + b"8/Filter/DCTDecode", jpeg[:-99]), W, H), scan("6")),
        (Row(), no("page 2: truncated or corrupt PDF: a JPEG"), SIX),
    )
    for name, entries, data, word in [
        ("Deflate that ends early", b"8/Filter/FlateDecode", zlib.compress(grey().tobytes())[:-99], "ends early"),
        ("Deflate that is damaged", b"8/Filter/FlateDecode", zlib.compress(grey().tobytes())[:-4] + b"abcd", "damaged"),
        (
            "JPEG 2000 that ends early",
            b"8/Filter/JPXDecode",
            imagecodecs.jpeg2k_encode(grey())[:-500],
            "cannot be decoded",
        ),
        ("JPEG 2000 of 26 bits", b"8/Filter/JPXDecode", deep(), "a JPEG 2000 of 26 bits"),
        ("JBIG2 that ends early", b"1/Filter/JBIG2Decode", jbig2(fax_strip())[:-60], "ends early"),
        (
            "JBIG2 with the header of a file",
            b"1/Filter/JBIG2Decode",
            b"\x97JB2\r\n\x1a\n\1\0\0\0\1" + jbig2(fax_strip()),
            "begins with the header of a file",
        ),
        ("JBIG2 without a region", b"1/Filter/JBIG2Decode", jbig2(fax_strip())[:30], "has no part that is drawn"),
        ("an unknown compression", b"8/Filter/NoneDecode", grey().tobytes(), "cannot be decoded"),
        ("no data", b"8/Filter/LZWDecode", b"", "cannot be decoded"),
    ]:
        content = pdf(filled(image(WIDTH, HEIGHT, GREY + entries, data), W, H))
        yield Kind(f"PDF of {name}", lambda content=content: content, (no(word),))
    yield Kind("PDF with a damaged stamp", lambda: stamped(BROKEN), (no("a picture on the page cannot be decoded"),))
    cut = image(WIDTH, HEIGHT, GREY + b"1/Filter/JBIG2Decode", jbig2(fax_strip())[:-60])
    yield Kind("PDF with a stamp that ends early", lambda: stamped(cut), (no("ends early"),))
    for does, attribute in [("fills", b"cs /P scn 0 0 999 999 re f"), ("draws", b"CS /P SCN 99 w 0 0 m 999 999 l S")]:
        yield Kind(
            f"PDF of a damaged pattern that {does} a shape",
            lambda attribute=attribute: tiled(BROKEN, attribute),
            (no("a pattern on the page shows nothing"),),
        )
    sizeless = image(0, HEIGHT, GREY + b"8", grey().tobytes())
    yield Kind("PDF of a picture without a width", lambda: pdf(filled(sizeless, W, H)), (no("has no size"),))
    locked = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>/ID[<00><00>]" % (b"12" * 32, b"34" * 32)
    yield Kind("PDF with a password", lambda: pdf(scan(), trailer=locked), (no("needs a password"),))
    xfa = b"/AcroForm<</Fields[]/XFA %d 0 R>>/NeedsRendering true" % FIRST
    yield Kind("PDF of XFA", lambda: pdf(scan(), more=[stream(b"", b"<xdp/>")], catalog=xfa), (no("an XFA form"),))
    attached = [
        stream(b"/Type/EmbeddedFile", b"%PDF-"),
        b"<</Type/Filespec/F(a.pdf)/UF(a.pdf)/EF<</F %d 0 R>>>>" % FIRST,
    ]
    names = b"/Collection<</View/T>>/Names<</EmbeddedFiles<</Names[(a.pdf) %d 0 R]>>>>" % (FIRST + 1)
    yield Kind("PDF portfolio", lambda: pdf(scan(), more=attached, catalog=names), (Row(), no("save the 1 file in it")))


def kinds() -> Iterator[Kind]:
    """All of them."""
    yield from pictures()
    yield from places()
    yield from drawings()
    yield from refused()
