"""The pages of an image file of any format that is read, each a function that decodes it."""

from collections.abc import Callable
from functools import partial

from mnist_batch.errors import Unreadable
from mnist_batch.pixels import decoding, pnm, signatures, tiff_pages
from mnist_batch.pixels.decoding import Grey


def readers(data: bytes, most: int, max_pixels: int) -> tuple[list[Callable[[], Grey]], Unreadable | None]:
    """A function to read each page of a file, in order, up to ``most``, and what is wrong after them, if anything.

    Each function returns its page or raises Unreadable. Raises Unreadable (``not_an_image``, ``undecodable``,
    ``too_large``) if the file has no page.
    """
    kind = signatures.kind_of(data)
    if kind == "TIFF":
        return tiff_pages.readers(data, most, max_pixels)
    if kind == "PDF":
        from mnist_batch.pixels import pdf  # imported here: few folders hold a PDF, and PDFium takes long to load

        return pdf.readers(data, most, max_pixels)
    if kind == "PNM":
        images, fault = pnm.images(data, most)
        return [partial(decoding.pnm, image, maximum, max_pixels) for image, maximum in images], fault
    return [partial(decoding.picture, kind, data, max_pixels)], None
