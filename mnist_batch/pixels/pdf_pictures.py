"""The pictures on a page of a PDF: where they lie, how fine they are, and whether their data is whole.

PDFium draws nothing for a picture that it cannot decode, and grey or black for the rest of one that ends early. A scan
that was never read then looks like an empty page, so the data is checked here, also that of stamps and of patterns.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from ctypes import c_uint, create_string_buffer
from dataclasses import dataclass
from functools import partial
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

from mnist_batch.errors import Unreadable
from mnist_batch.pixels import jbig2, jpeg2000
from mnist_batch.statuses import Status

Box = tuple[float, float, float, float]  # left, bottom, right, top in points, before the page is turned
Matrix = tuple[float, float, float, float, float, float]  # as PDF has it: x' = a x + c y + e, y' = b x + d y + f

_DEEPEST = 8  # forms within forms
_AS_IT_IS: Matrix = (1, 0, 0, 1, 0, 0)
_STRAIGHT = 1e-3  # of a picture's sides; that much it may lean
_NEAR, _INSIDE = 0.25, 0.02  # pixels
_AT_ONCE = 2**20  # bytes that are unpacked at a time
_SAMPLE = 16  # pixels, the sides of a small drawing of a picture
_MOST_BYTES = 8  # of a pixel: four samples of 16 bits


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture on a page: its handle, where it lies, its pixels per point along both axes, its number of pixels.

    ``matrix`` lays its unit square on the page, the last step of which is ``above``, that of the form around it.
    ``number`` counts what is drawn on the page, in order.
    """

    handle: Any
    number: int
    matrix: Matrix
    above: Matrix
    box: Box
    across: float
    down: float
    is_straight: bool
    pixels: int

    def share_of(self, page: Box) -> float:
        """The share of a page that it covers."""
        width, height = (max(0, min(self.box[i + 2], page[i + 2]) - max(self.box[i], page[i])) for i in (0, 1))
        return width * height / ((page[2] - page[0]) * (page[3] - page[1]))


def on_page(page: Any) -> Iterator[Picture]:
    """The pictures of a page, also those within its forms."""
    return _pictures(_drawn(page))


def _pictures(drawn: Iterable[tuple[Any, Matrix]]) -> Iterator[Picture]:
    for number, (item, above) in enumerate(drawn):
        if raw.FPDFPageObj_GetType(item) == raw.FPDF_PAGEOBJ_IMAGE:
            picture = _picture(item, number, above)
            if picture is not None:
                yield picture


def need_annotations(page: Any, check: Callable[[Picture], None]) -> None:
    """Check each picture of the annotations that are shown, such as stamps."""
    for number in range(raw.FPDFPage_GetAnnotCount(page)):
        note = raw.FPDFPage_GetAnnot(page, number)
        try:
            if not raw.FPDFAnnot_GetFlags(note) & (raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW):
                looks = (raw.FPDFAnnot_GetObject(note, at) for at in range(raw.FPDFAnnot_GetObjectCount(note)))
                for picture in _pictures(drawn for item in looks for drawn in _within(item, _AS_IT_IS, 0)):
                    check(picture)
        finally:
            raw.FPDFPage_CloseAnnot(note)


def need_patterns(page: Any) -> None:
    """Raise Unreadable if lines or text are filled with a tile that shows nothing; PDFium does not say why."""
    for item, _ in _drawn(page):
        for ask in (raw.FPDFPageObj_GetRenderedFillPattern, raw.FPDFPageObj_GetRenderedStrokePattern):
            if (tile := ask(page.pdf, item)) and not _shows(tile):
                raise Unreadable(
                    Status.UNDECODABLE,
                    "a pattern on the page shows nothing: it is empty, or what is in it cannot be decoded",
                )


def _shows(drawn: Any) -> bool:
    bitmap = pdfium.PdfBitmap.from_raw(drawn)
    try:
        return bitmap.n_channels < 4 or bool(bitmap.to_numpy()[:, :, 3].any())
    finally:
        bitmap.close()


def is_written_on(page: Any, picture: Picture) -> bool:
    """Whether lines, text or annotations lie over a picture. Text that cannot be seen, as OCR adds it, is none."""
    over = [item for item, _ in _drawn(page)][picture.number + 1 :]
    return raw.FPDFPage_GetAnnotCount(page) > 0 or any(map(_is_line_or_text, over))


def _is_line_or_text(item: Any) -> bool:
    kind = raw.FPDFPageObj_GetType(item)
    if kind == raw.FPDF_PAGEOBJ_TEXT:
        return bool(raw.FPDFTextObj_GetTextRenderMode(item) != raw.FPDF_TEXTRENDERMODE_INVISIBLE)
    return kind in (raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_SHADING)


def is_masked(page: Any, picture: Picture) -> bool:
    """Whether a picture has clear parts. PDFium does not tell how fine a mask is: it may be finer than the picture."""
    own = _matrix(picture.handle)
    raw.FPDFPageObj_SetMatrix(picture.handle, raw.FS_MATRIX(_SAMPLE, 0, 0, _SAMPLE, 0, 0))
    drawn = raw.FPDFImageObj_GetRenderedBitmap(page.pdf, page, picture.handle)
    raw.FPDFPageObj_SetMatrix(picture.handle, raw.FS_MATRIX(*own))
    if not drawn:
        return False
    bitmap = pdfium.PdfBitmap.from_raw(drawn)
    try:
        return bitmap.n_channels == 4 and bool(bitmap.to_numpy()[:, :, 3].min() < 255)
    finally:
        bitmap.close()


def _drawn(page: Any) -> Iterator[tuple[Any, Matrix]]:
    """What is drawn on a page, in order, also within its forms, each with the matrix of the form around it."""
    for number in range(raw.FPDFPage_CountObjects(page)):
        yield from _within(raw.FPDFPage_GetObject(page, number), _AS_IT_IS, 0)


def _within(item: Any, above: Matrix, depth: int) -> Iterator[tuple[Any, Matrix]]:
    if raw.FPDFPageObj_GetType(item) != raw.FPDF_PAGEOBJ_FORM:
        yield item, above
    elif depth < _DEEPEST:
        here = _product(_matrix(item), above)
        for number in range(raw.FPDFFormObj_CountObjects(item)):
            yield from _within(raw.FPDFFormObj_GetObject(item, number), here, depth + 1)


def _matrix(item: Any) -> Matrix:
    matrix = raw.FS_MATRIX()
    raw.FPDFPageObj_GetMatrix(item, matrix)
    return matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f


def _product(first: Matrix, then: Matrix) -> Matrix:
    (a, b, c, d, e, f), (p, q, r, s, t, u) = first, then
    return a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u


def _picture(item: Any, number: int, above: Matrix) -> Picture | None:
    """A picture with the matrix of the form around it; None if it has no area."""
    wide, high = c_uint(), c_uint()
    raw.FPDFImageObj_GetImagePixelSize(item, wide, high)
    matrix = a, b, c, d, e, f = _product(_matrix(item), above)
    area = abs(a * d - b * c)
    if not wide.value or not high.value:
        raise Unreadable(Status.UNDECODABLE, "corrupt PDF: a picture on the page has no size")
    if not area:
        return None
    box = e + min(a, 0) + min(c, 0), f + min(b, 0) + min(d, 0), e + max(a, 0) + max(c, 0), f + max(b, 0) + max(d, 0)
    pixels = wide.value * high.value
    across = down = (pixels / area) ** 0.5
    is_upright = abs(b) + abs(c) < _STRAIGHT * (abs(a) + abs(d))
    is_on_its_side = abs(a) + abs(d) < _STRAIGHT * (abs(b) + abs(c))
    if is_upright:
        across, down = wide.value / abs(a), high.value / abs(d)
    elif is_on_its_side:
        across, down = high.value / abs(c), wide.value / abs(b)
    return Picture(item, number, matrix, above, box, across, down, is_upright or is_on_its_side, pixels)


def snap(picture: Picture, box: Box, width: int, height: int) -> None:
    """Move the edges of a straight picture that nearly lie on a grid onto it.

    ``box`` is the part of the page that the grid of ``width`` x ``height`` pixels covers. An edge is put a little
    inside its line: PDFium resamples a picture that reaches beyond, be it by an error of rounding.
    """
    moves = []
    for axis, pixels in enumerate((width, height)):
        density = pixels / (box[axis + 2] - box[axis])
        low, high = ((picture.box[side] - box[axis]) * density for side in (axis, axis + 2))
        if max(abs(low - round(low)), abs(high - round(high))) > _NEAR or round(low) == round(high):
            return
        scale = (round(high) - round(low) - 2 * _INSIDE) / (high - low)
        moves.append((scale, box[axis] + (round(low) + _INSIDE) / density - scale * picture.box[axis]))
    (across, right), (down, up) = moves
    moved = _product(picture.matrix, (across, 0, 0, down, right, up))
    raw.FPDFPageObj_SetMatrix(picture.handle, raw.FS_MATRIX(*_product(moved, _inverse(picture.above))))


def _inverse(matrix: Matrix) -> Matrix:
    a, b, c, d, e, f = matrix
    area = a * d - b * c
    return d / area, -b / area, -c / area, a / area, (c * f - d * e) / area, (b * e - a * f) / area


def need_whole(picture: Picture) -> None:
    """Raise Unreadable if the data of a picture ends early or breaks a checksum, where its compression shows that.

    So it does if PDFium would draw a wrong picture: of JPEG 2000 that is too deep.
    """
    handle = picture.handle
    filters = [_filter(handle, number) for number in range(raw.FPDFImageObj_GetImageFilterCount(handle))]
    if filters == [b"FlateDecode"]:
        _need_unpacked(_bytes(raw.FPDFImageObj_GetImageDataRaw, handle), _MOST_BYTES * picture.pixels + _AT_ONCE)
    elif filters[-1:] == [b"DCTDecode"]:
        data = _bytes(raw.FPDFImageObj_GetImageDataDecoded, handle)
        # Some scanners fill up what follows the end. No marker is found within the pixels, which follow the last start.
        if b"\xff\xd8\xff" not in data[:64] or not 0 < data.rfind(b"\xff\xda") < data.rfind(b"\xff\xd9"):
            raise Unreadable(Status.UNDECODABLE, "truncated or corrupt PDF: a JPEG on the page has no start or end")
    elif filters[-1:] == [b"JBIG2Decode"]:
        if fault := jbig2.fault(_bytes(raw.FPDFImageObj_GetImageDataDecoded, handle)):
            raise Unreadable(Status.UNDECODABLE, fault)
    elif filters[-1:] == [b"JPXDecode"]:
        jpeg2000.need_readable(_bytes(raw.FPDFImageObj_GetImageDataDecoded, handle))


def need_decoded(picture: Picture) -> None:
    """Raise Unreadable if PDFium cannot decode a picture."""
    bitmap = raw.FPDFImageObj_GetBitmap(picture.handle)
    if not bitmap:
        raise Unreadable(
            Status.UNDECODABLE, "a picture on the page cannot be decoded: it is damaged, or of a kind that is not read"
        )
    raw.FPDFBitmap_Destroy(bitmap)


def _need_unpacked(data: bytes, most: int) -> None:
    unpacking, size = zlib.decompressobj(), 0
    try:
        while not unpacking.eof and size <= most:
            size += len(part := unpacking.decompress(data, _AT_ONCE))
            data = unpacking.unconsumed_tail
            if not part and not data:
                raise Unreadable(Status.UNDECODABLE, "truncated PDF: the data of a picture on the page ends early")
    except zlib.error:
        raise Unreadable(Status.UNDECODABLE, "corrupt PDF: the data of a picture on the page is damaged") from None


def _filter(handle: Any, number: int) -> bytes:
    return _bytes(partial(raw.FPDFImageObj_GetImageFilter, handle, number)).rstrip(b"\0")


def _bytes(ask: Any, *handle: Any) -> bytes:
    """What a function of PDFium returns, which says how many bytes that is if it is given no room for them."""
    room = create_string_buffer(size := ask(*handle, None, 0))
    ask(*handle, room, size)
    return room.raw
