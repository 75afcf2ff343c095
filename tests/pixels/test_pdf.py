"""PDF: the pixels of a scan come out as they went in; anything else is drawn finely enough, and told if damaged."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnist_batch.pixels import decoding, jbig2, signatures
from mnist_batch.reading import images
from tests.support.formats import pdf_pages
from tests.support.formats.drawing import HEIGHT, WIDTH, grey, strokes
from tests.support.formats.pdf_writer import FIRST, POINTS, Page, deflated, filled, image, numbers, pdf, placed, stream
from tests.support.formats.tiff_compressions import fax_strip

Pixels = NDArray[np.uint8]
TURNS = st.sampled_from([0, 90, 180, 270])


@st.composite
def scans(draw: st.DrawFn) -> tuple[Page, Pixels]:
    """A page that a scan fills, and the picture that people see."""
    height, width = draw(st.integers(1, 300)), draw(st.integers(1, 300))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind, turn, rotate = draw(st.sampled_from(["grey", "bits", "colour"])), draw(TURNS), draw(TURNS)
    samples = random.integers(0, 256, (height, width, 3) if kind == "colour" else (height, width), np.uint8)
    picture = deflated(samples)
    if kind == "bits":
        samples = (samples >> 7) * np.uint8(255)
        packed = zlib.compress(np.packbits(samples, axis=1).tobytes())
        picture = image(width, height, b"/ColorSpace/DeviceGray/BitsPerComponent 1/Filter/FlateDecode", packed)
    dots = draw(st.sampled_from([72, 100, 150, 200, 203.2, 300, 400, 600, 1200]))
    left, bottom = draw(st.floats(-500, 500)), draw(st.floats(-500, 500))
    wide, high = width * POINTS / dots, height * POINTS / dots
    matrix = {0: (wide, 0, 0, high, 0, 0), 90: (0, wide, -high, 0, high, 0), 180: (-wide, 0, 0, -high, wide, high),
              270: (0, -wide, high, 0, 0, wide)}[turn]  # fmt: skip
    sides = (wide, high) if turn in (0, 180) else (high, wide)
    box = left, bottom, left + sides[0], bottom + sides[1]
    content = placed("I", *matrix[:4], matrix[4] + left, matrix[5] + bottom)
    seen = np.rot90(samples, turn // 90 - rotate // 90)
    shown = decoding.grey(np.ascontiguousarray(seen[..., ::-1] if seen.ndim == 3 else seen))
    return Page(content, {"I": picture}, box, b"/Rotate %d" % rotate), shown


@given(st.lists(scans(), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_the_pixels_of_scans_come_out_as_they_went_in(pages: Sequence[tuple[Page, Pixels]]) -> None:
    found = list(images.decode(pdf(*(page for page, _ in pages))))
    assert len(found) == len(pages)
    for page, (_, shown) in zip(found, pages, strict=True):
        assert np.array_equal(page, shown)


@given(st.integers(1, 12), st.sampled_from([100, 200, 300, 600]), st.integers(2, 5), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_strips_meet_without_a_seam(count: int, dots: float, decimals: int, seed: int) -> None:
    rows = np.random.default_rng(seed).integers(1, 40, count)
    samples = np.random.default_rng(seed).integers(0, 256, (rows.sum(), 90), np.uint8)
    unit, ends = POINTS / dots, np.cumsum(rows)
    height = len(samples) * unit
    names = {f"S{at}": deflated(samples[end - row : end]) for at, (row, end) in enumerate(zip(rows, ends, strict=True))}
    places = zip(names, np.round(rows * unit, decimals), np.round(height - ends * unit, decimals), strict=True)
    content = b"".join(placed(name, 90 * unit, 0, 0, high, 0, bottom) for name, high, bottom in places)
    [found] = images.decode(pdf(Page(content, names, (0, 0, 90 * unit, height))))
    assert np.array_equal(found, samples)


@pytest.mark.parametrize("logo", [b"", placed("L", 20, 0, 0, 20, 40, 50)])
def test_strips_of_a_few_rows_have_the_pixels_of_their_scan(logo: bytes) -> None:
    rows, samples = 2, np.random.default_rng(0).integers(0, 256, (400, 300), np.uint8)
    count, (wide, high) = len(samples) // rows, (300 * 0.24, 400 * 0.24)  # 300 dots per inch
    names = {f"S{at}": deflated(samples[at * rows : (at + 1) * rows]) for at in range(count)}
    content = b"".join(
        placed(name, wide, 0, 0, rows * 0.24, 0, high - (at + 1) * rows * 0.24) for at, name in enumerate(names)
    )
    page = Page(content + logo, {**names, "L": deflated(np.zeros((9, 9), np.uint8))}, (0, 0, wide, high))
    [found] = images.decode(pdf(page))
    assert found.shape == samples.shape
    assert np.mean(found != samples) < (0.1 if logo else 1e-9)


def test_a_scan_within_forms_keeps_its_pixels() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 40), np.uint8)
    form = (
        b"/Type/XObject/Subtype/Form/BBox[-9 -9 999 999]/Matrix[0 3 -3 0 0 0]/Resources<</XObject<</I %d 0 R>>>>"
        % FIRST
    )
    outer = Page(b"q 0 2 -2 0 0 0 cm /F Do Q", {"F": stream(form, placed("I", 4, 0, 0, 5, 0, 0))}, (-24, -30, 0, 0))
    [found] = images.decode(pdf(outer, more=[deflated(noise)]))
    assert np.array_equal(found, np.rot90(noise, 2))


def of_dots(across: float, down: float, share: float = 1) -> Page:
    """A page of 2 x 3 inches with a picture of a resolution on a share of it."""
    side = share**0.5
    width, height = 2 * POINTS * side, 3 * POINTS * side
    samples = np.full((round(3 * side * down), round(2 * side * across)), 90, np.uint8)
    return Page(placed("I", width, 0, 0, height, 1, 1), {"I": deflated(samples)}, (0, 0, 2 * POINTS, 3 * POINTS))


@pytest.mark.parametrize(
    ("page", "dots"),
    [
        (Page(b"0 0 9 9 re f", box=(0, 0, 2 * POINTS, 3 * POINTS)), 200),
        (of_dots(100, 100), 100),
        (of_dots(240, 240), 240),
        (of_dots(200, 100), 200),
        (of_dots(100, 200), 200),
        (of_dots(72, 72, 0.2), 150),
        (of_dots(300, 300, 0.2), 300),
        (of_dots(1200, 1200, 0.05), 600),
        (of_dots(1200, 1200, 0.001), 200),
    ],
)
def test_a_page_has_the_resolution_of_its_pictures(page: Page, dots: float) -> None:
    [found] = images.decode(pdf(page))
    assert found.shape == pytest.approx((3 * dots, 2 * dots), abs=2)


def test_ink_in_a_fine_mask_over_a_coarse_page_is_fine() -> None:
    coarse = deflated(np.full((100, 80), 240, np.uint8))
    ink = image(WIDTH, HEIGHT, b"/ImageMask true/BitsPerComponent 1", np.packbits(~strokes(), axis=1).tobytes())
    content = placed("B", WIDTH, 0, 0, HEIGHT, 0, 0) + placed("I", WIDTH, 0, 0, HEIGHT, 0, 0)
    [found] = images.decode(pdf(Page(content, {"B": coarse, "I": ink}, (0, 0, WIDTH, HEIGHT))))
    assert found.shape[0] >= HEIGHT
    hidden = deflated(np.zeros((50, 40), np.uint8), b"/SMask %d 0 R" % FIRST)
    layered = Page(content, {"B": coarse, "I": hidden}, (0, 0, WIDTH, HEIGHT))
    [found] = images.decode(pdf(layered, more=[deflated(strokes().astype(np.uint8) * 255)]))
    assert found.shape == pytest.approx((HEIGHT * 300 / POINTS, WIDTH * 300 / POINTS), abs=1)


COARSE = 70  # dots per inch of a page of 2 x 3 inches


def on_coarse(entries: bytes = b"", content: bytes = b"", **objects: bytes) -> Page:
    """A page that a coarse grey scan fills, and what is drawn over it."""
    samples = np.full((3 * COARSE, 2 * COARSE), 240, np.uint8)
    page = placed("B", 2 * POINTS, 0, 0, 3 * POINTS, 0, 0) + content
    return Page(page, {"B": deflated(samples, entries), **objects}, (0, 0, 2 * POINTS, 3 * POINTS))


@pytest.mark.parametrize(
    ("page", "dots"),
    [
        (on_coarse(), COARSE),
        (on_coarse(b"/SMask %d 0 R" % FIRST), 300),
        (on_coarse(b"/Mask %d 0 R" % FIRST), 300),
        (on_coarse(content=b"10 10 m 50 50 l S"), 300),
        (on_coarse(content=placed("I", 3, 0, 0, 4, 50, 50), I=deflated(grey())), 300),
        (on_coarse(content=b"BT /F 20 Tf 10 10 Td (4) Tj ET"), 300),
        (on_coarse(content=b"BT 3 Tr /F 20 Tf 10 10 Td (4) Tj ET"), COARSE),
    ],
)
def test_ink_over_a_coarse_scan_is_as_fine_as_it_was_made(page: Page, dots: float) -> None:
    mask = image(WIDTH, HEIGHT, b"/ImageMask true/ColorSpace/DeviceGray/BitsPerComponent 1",
                 np.packbits(~strokes(), axis=1).tobytes())  # fmt: skip
    font = b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
    [found] = images.decode(pdf(page, more=[mask]).replace(b"/Resources<<", font, 1))
    assert found.shape == pytest.approx((3 * dots, 2 * dots), abs=1)


def test_a_scan_of_a_point_a_pixel_is_not_coarse() -> None:
    samples = np.zeros((1800, 1200), np.uint8)  # phones write such pages
    page = filled(deflated(samples), *samples.shape[::-1])
    page.content += b"10 10 m 50 50 l S " + placed("L", 200, 0, 0, 200, 50, 50)
    [found] = images.decode(pdf(Page(page.content, {**page.objects, "L": deflated(grey())}, page.box)))
    assert found.shape == samples.shape


@pytest.mark.parametrize("needed", [b"", b"/NeedAppearances true"])
def test_what_a_field_holds_is_seen_though_no_program_drew_it(needed: bytes) -> None:
    widget = b"<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/V(4)/DA(/Helv 40 Tf 0 g)/F 4/Rect[5 5 50 65]>>"
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    catalog = b"/AcroForm<</Fields[%d 0 R]%s/DR<</Font<</Helv %d 0 R>>>>>>" % (FIRST, needed, FIRST + 1)
    page = pdf_pages.over(np.full((HEIGHT, WIDTH), 255, np.uint8), b"")
    [empty] = images.decode(pdf(page))
    page.entries = b"/Annots[%d 0 R]" % FIRST
    [found] = images.decode(pdf(page, more=[widget, font], catalog=catalog))
    assert empty.min() == 255
    assert np.count_nonzero(found < 64) > 200


def test_what_is_no_part_of_the_page_is_not_seen() -> None:
    scan = pdf_pages.scan()
    hidden = b"<</Type/Annot/Subtype/Square/F 2/IC[0 0 0]/Rect[0 0 50 50]>>"
    scan.entries = b"/Annots[%s]" % hidden
    scan.content += b"0 0 -100 -100 re f 200 200 100 100 re f"
    [found] = images.decode(pdf(scan))
    assert np.array_equal(found, grey())


def test_a_page_of_too_many_pixels_is_not_drawn() -> None:
    huge = image(100_000, 100_000, b"/ColorSpace/DeviceGray/BitsPerComponent 1/Filter/FlateDecode", zlib.compress(b""))
    wide = Page(b"0 0 9 9 re f", box=(0, 0, 14_400, 14_400))
    reads = images.pages(pdf(filled(huge, 57, 72), wide, pdf_pages.scan()))
    for read in reads[:2]:
        with pytest.raises(images.Unreadable, match="too_large: page .: more than 40,000,000 pixels a page"):
            read()
    assert np.array_equal(reads[2](), grey())
    with pytest.raises(images.Unreadable, match="too_large: more than 31,999 pixels a page"):
        list(images.decode(pdf(pdf_pages.scan()), 31_999))


def test_more_pages_than_the_limit_are_told_in_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PAGES", 3)
    *reads, last = images.pages(pdf(*[pdf_pages.scan()] * 5))
    assert [np.array_equal(read(), grey()) for read in reads] == [True] * 3
    with pytest.raises(images.Unreadable, match="too_large: more than 3 pages: split the file"):
        last()


def test_a_page_without_ink_is_white_and_one_on_which_nothing_lies_is_told() -> None:
    white = Page(b"1 g 0 0 36 72 re f", box=(0, 0, 36, 72))
    [found] = images.decode(pdf(white))
    assert found.shape == (200, 100)
    assert found.min() == 255
    lost, kept = images.pages(pdf(Page(b"q /Gone Do Q"), pdf_pages.scan()))
    assert np.array_equal(kept(), grey())
    with pytest.raises(images.Unreadable, match="undecodable: page 1: nothing lies on the page"):
        lost()


@pytest.mark.parametrize("layers", [1, 2])
def test_a_picture_that_is_left_out_beside_others_is_told(layers: int) -> None:
    broken = image(WIDTH, HEIGHT, b"/ColorSpace/DeviceGray/BitsPerComponent 8/Filter/JPXDecode", b"\0" * 99)
    box, matrix = (0, 0, WIDTH, HEIGHT), (WIDTH, 0, 0, HEIGHT, 0, 0)
    content = b"".join(placed(name, *matrix) for name in ["A", "B"][-layers:])
    with pytest.raises(images.Unreadable, match="a picture on the page cannot be decoded"):
        list(images.decode(pdf(Page(content, {"A": deflated(grey()), "B": broken}, box))))


def test_jbig2_is_whole_where_its_segments_are() -> None:
    whole = pdf_pages.jbig2(fax_strip())
    unknown = pdf_pages.jbig2(fax_strip(), is_length_known=False)
    end = len(pdf_pages.segment(2, 0x31, b""))  # of the page, which may be left out
    for data, least in [(whole, len(whole)), (unknown, len(unknown) - end)]:
        found = {length for length in range(len(data) + 1) if jbig2.fault(data[:length]) is None}
        # A cut within the three zeros that the next segment begins with looks like padding.
        assert found - {*range(least + 1, least + 4)} == {least, len(data)}
    assert jbig2.fault(whole + bytes(9)) is None
    assert jbig2.fault(unknown + b"whatever follows the end of a page") is None


@pytest.mark.parametrize(("number", "references"), [(3, 1), (256, 4), (257, 5), (300, 300), (70_000, 2), (70_000, 9)])
def test_a_segment_of_jbig2_names_others_in_as_many_bytes_as_it_needs(number: int, references: int) -> None:
    names = bytes(references * (1 if number <= 256 else 2 if number <= 65536 else 4))
    if references <= 4:
        count = bytes([references << 5])
    else:
        count = struct.pack(">I", 7 << 29 | references) + bytes((references + 1 + 7) // 8)
    for flags, page in [(6, b"\1"), (0x46, bytes(4))]:  # the number of the page in one byte or in four
        text = struct.pack(">IB", number, flags) + count + names + page + struct.pack(">I", 20) + bytes(range(20))
        assert jbig2.fault(text) is None
        assert jbig2.fault(text[:-1]) is not None
        assert jbig2.fault(text + b"\1") is not None


def test_a_pdf_is_told_by_its_start_and_an_archive_of_one_is_not_one() -> None:
    whole = pdf(pdf_pages.scan())
    assert signatures.kind_of(b"x" * 1_000 + whole) == "PDF"
    for start in (b"PK\x03\x04", b"\x1f\x8b", bytes(257) + b"ustar"):
        with pytest.raises(images.Unreadable, match="not_an_image"):
            signatures.kind_of(start.ljust(512, b"\0") + whole)
    with pytest.raises(images.Unreadable, match="not_an_image"):
        signatures.kind_of(b"x" * 1_020 + whole)


def test_numbers_are_written_as_pdf_has_them() -> None:
    assert numbers(1, -0.5) == b"1.00000 -0.50000"
