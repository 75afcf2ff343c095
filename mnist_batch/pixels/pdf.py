"""Render the pages of a PDF as grey pages, each on the grid of pixels of the scan that lies on it. Uses PDFium.

A page is drawn as PDF readers show it: with its masks, annotations and filled-in fields, on white paper. If its scan
lies straight on it, each pixel of the scan is one pixel of the page. PDFium may be used by one thread only.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import log2
from typing import Any

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as raw

from mnist_batch.errors import Unreadable
from mnist_batch.pixels import decoding, pdf_pictures
from mnist_batch.pixels.decoding import Grey
from mnist_batch.pixels.pdf_pictures import Box, Picture
from mnist_batch.statuses import Status
from mnist_batch.wording import counted

logging.getLogger("pypdfium2").setLevel(logging.CRITICAL)  # an odd scan is a row with a reason, not a log line

POINTS_PER_INCH = 72
DRAWN_DPI = 200  # of a page without a picture
LEAST_DPI, MOST_DPI = 150, 600  # of a page that its largest picture does not fill
LAYERED_DPI = 300  # the least of a page of layers, whose masks are often finer than its pictures
COARSE_PIXELS = 2_000_000  # of a scan; one of A4 at 150 dpi has more, and some programs write a point a pixel
_ALIKE = 0.02  # by which the resolutions of the strips of a scan may differ
_TINY = 0.01  # share of a page; pictures that cover less of it say nothing about its resolution
_END = 1024  # bytes; within so many a PDF ends with its mark
_TILE = b"/PatternType"  # of a pattern that is a stream, and streams are never packed into others


@dataclass(frozen=True, slots=True)
class Grid:
    """The part of a page that is drawn, and its pixels across and down before the page is turned."""

    box: Box
    width: int
    height: int


def readers(data: bytes, most: int, max_pixels: int) -> tuple[list[Callable[[], Grey]], Unreadable | None]:
    """A function to read each page of a file, in order, and what is wrong with the file beyond its pages, if anything.

    Each function returns its page or raises Unreadable. Raises Unreadable if the file has no page, or cannot be opened.
    """
    document = _opened(data)
    count = len(document)
    fault = None
    if count > most:
        fault = Unreadable(Status.TOO_LARGE, f"more than {counted(most, 'page')}: split the file")
    elif b"%%EOF" not in data[-_END:] and not raw.FPDF_DocumentHasValidCrossReferenceTable(document):
        fault = Unreadable(Status.UNDECODABLE, "truncated PDF: pages may be missing after the last one found")
    elif (files := raw.FPDFDoc_GetAttachmentCount(document)) and b"/Collection" in data:
        fault = Unreadable(
            Status.UNDECODABLE,
            f"a PDF portfolio, of which only the cover is read; save the {counted(files, 'file')} in it as scans",
        )
    has_tiles = _TILE in data
    return [partial(_page, document, number, max_pixels, has_tiles) for number in range(min(count, most))], fault


def short_sides(data: bytes) -> list[float]:
    """The shorter side of each page, in inches; raises Unreadable if the file cannot be opened."""
    document = _opened(data)
    boxes = (document[number].get_bbox() for number in range(len(document)))
    return [min(box[2] - box[0], box[3] - box[1]) / POINTS_PER_INCH for box in boxes]


def _opened(data: bytes) -> Any:
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        reason = "truncated or corrupt PDF, or one without a page"
        if b"/Encrypt" in data:  # the code may be that of an earlier file: PDFium does not set it for every fault
            if error.err_code == raw.FPDF_ERR_PASSWORD:
                reason = "an encrypted PDF, which needs a password; save it without a password"
            elif error.err_code == raw.FPDF_ERR_SECURITY:
                reason = "a PDF whose encryption is not read; save it without a password"
        raise Unreadable(Status.UNDECODABLE, reason) from None
    if document.get_formtype() == raw.FORMTYPE_XFA_FULL:
        raise Unreadable(
            Status.UNDECODABLE, "an XFA form, which only Adobe's programs show; print it to a PDF, or save it as images"
        )
    document.init_forms()  # before any page is asked for
    return document


def _page(document: Any, number: int, max_pixels: int, has_tiles: bool) -> Grey:
    try:
        page = document[number]
    except pdfium.PdfiumError:
        raise Unreadable(Status.UNDECODABLE, "corrupt PDF: the page is not where the file says") from None
    try:
        if not raw.FPDFPage_CountObjects(page) and not raw.FPDFPage_GetAnnotCount(page):
            # PDFium says nothing of a picture or drawing that it cannot find.
            raise Unreadable(Status.UNDECODABLE, "nothing lies on the page: it is empty, or what lay on it is damaged")
        if has_tiles:
            pdf_pictures.need_patterns(page)
        return _read(page, max_pixels)
    finally:
        page.close()


def _read(page: Any, max_pixels: int) -> Grey:
    box = page.get_bbox()
    if not (box[2] > box[0] and box[3] > box[1]):
        raise Unreadable(Status.UNDECODABLE, "corrupt PDF: the page has no size")
    pictures = [*pdf_pictures.on_page(page)]
    if any(picture.pixels > max_pixels for picture in pictures):
        raise decoding.too_large(max_pixels)
    pdf_pictures.need_annotations(page, partial(_need_readable, max_pixels=max_pixels))
    grid = _grid(page, box, pictures)
    if grid.width * grid.height > max_pixels:
        raise decoding.too_large(max_pixels)
    for picture in pictures:
        pdf_pictures.need_whole(picture)
        pdf_pictures.snap(picture, grid.box, grid.width, grid.height)
    drawn = _drawn(page, grid)
    if len(pictures) > 1 or drawn.min() == 255:  # PDFium leaves out pictures that it cannot decode
        for picture in pictures:
            pdf_pictures.need_decoded(picture)
    across, down = grid.width / (grid.box[2] - grid.box[0]), grid.height / (grid.box[3] - grid.box[1])
    density = (down, across) if _is_on_its_side(page) else (across, down)
    return decoding.square(decoding.grey(drawn), density, 1, max_pixels)


def _need_readable(picture: Picture, max_pixels: int) -> None:
    if picture.pixels > max_pixels:
        raise decoding.too_large(max_pixels)
    pdf_pictures.need_whole(picture)
    pdf_pictures.need_decoded(picture)


def _is_on_its_side(page: Any) -> bool:
    return page.get_rotation() in (90, 270)


def _drawn(page: Any, grid: Grid) -> Grey:
    """The page in colour, uint8 (H, W, 3) in BGR, turned upright."""
    page.set_mediabox(*grid.box)
    page.set_cropbox(*grid.box)
    width, height = (grid.height, grid.width) if _is_on_its_side(page) else (grid.width, grid.height)
    pixels = np.full((height, width, 3), 255, np.uint8)
    bitmap = raw.FPDFBitmap_CreateEx(width, height, raw.FPDFBitmap_BGR, pixels.ctypes.data, pixels.strides[0])
    try:
        where = bitmap, page, 0, 0, width, height, 0, raw.FPDF_ANNOT
        raw.FPDF_RenderPageBitmap(*where)
        if page.formenv:
            raw.FPDF_FFLDraw(page.formenv, *where)  # what fields hold
    finally:
        raw.FPDFBitmap_Destroy(bitmap)
    return pixels


def _grid(page: Any, box: Box, pictures: Sequence[Picture]) -> Grid:
    """The grid of the picture that fills a page, or one of a resolution that suits what lies on it."""
    shares = defaultdict[tuple[int, int], float](float)
    for picture in pictures:
        shares[_size(picture)] += picture.share_of(box)
    telling = [picture for picture in pictures if shares[_size(picture)] >= _TINY]
    if not telling:
        return _plain_grid(box, DRAWN_DPI)
    filling = [picture for picture in telling if picture.share_of(box) > 0.5]
    largest = max(telling, key=lambda picture: (shares[_size(picture)], picture.share_of(box)))
    scan = max(filling, key=_fineness, default=largest)
    alike = [picture for picture in pictures if _are_alike(picture, scan)]
    is_filled = bool(filling) or sum(picture.share_of(box) for picture in alike) > 0.5  # by strips
    ratio = max(scan.across, scan.down) / min(scan.across, scan.down)
    has_finer = is_filled and _may_lie_under_finer(page, pictures, scan, alike)
    if is_filled and scan.is_straight and ratio <= decoding.MOST_RATIO and not has_finer:
        return _grid_of(scan, alike, box)
    least = LAYERED_DPI if len(filling) > 1 or has_finer else LEAST_DPI
    return _plain_grid(box, min(max(least, *map(_fineness, telling)), MOST_DPI))


def _may_lie_under_finer(page: Any, pictures: Sequence[Picture], scan: Picture, alike: Sequence[Picture]) -> bool:
    """Whether a scan is so coarse that pictures, lines, text or masks on it would lose by being drawn on its grid."""
    if _fineness(scan) >= LEAST_DPI or sum(picture.pixels for picture in alike) >= COARSE_PIXELS:
        return False
    if len(alike) < len(pictures) or pdf_pictures.is_written_on(page, scan):
        return True
    return any(pdf_pictures.is_masked(page, picture) for picture in alike)


def _size(picture: Picture) -> tuple[int, int]:
    """What is the same for pictures whose pixels have about one size, such as the strips of a scan."""
    across, down = (round(4 * log2(density)) for density in (picture.across, picture.down))
    return across, down


def _fineness(picture: Picture) -> float:
    return max(picture.across, picture.down) * POINTS_PER_INCH


def _are_alike(one: Picture, scan: Picture) -> bool:
    """Whether a picture has the resolution of another, as the strips of a scan have, of which low ones are rounded."""
    for axis, (density, wanted) in enumerate(((one.across, scan.across), (one.down, scan.down))):
        pixels = (one.box[axis + 2] - one.box[axis]) * density
        if abs(pixels * wanted / density - pixels) > max(0.5, _ALIKE * pixels):
            return False
    return one.is_straight == scan.is_straight


def _plain_grid(page: Box, dpi: float) -> Grid:
    width, height = (max(1, round((page[i + 2] - page[i]) * dpi / POINTS_PER_INCH)) for i in (0, 1))
    return Grid(page, width, height)


def _grid_of(scan: Picture, alike: Sequence[Picture], page: Box) -> Grid:
    """The grid of a picture's pixels, continued to the edges of the page, or to those of the strips that fill it."""
    box, sizes = [*page], []
    for axis, density in enumerate((scan.across, scan.down)):
        edges = []
        for side, outmost in ((axis, min), (axis + 2, max)):
            edge = outmost(picture.box[side] for picture in alike)
            beyond = (page[side] - edge) * density
            whole = 0 if abs(beyond) <= max(2, density) else round(beyond)  # edges are rounded, to points by some
            edges.append(whole + round((edge - scan.box[side]) * density))
            box[side] = scan.box[side] + edges[-1] / density
        sizes.append(max(1, round((scan.box[axis + 2] - scan.box[axis]) * density) + edges[1] - edges[0]))
    return Grid((box[0], box[1], box[2], box[3]), sizes[0], sizes[1])
