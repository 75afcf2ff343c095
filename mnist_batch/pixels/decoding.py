"""Decode the bytes of a picture into a grey page, with OpenCV, or with Pillow where OpenCV gets it wrong."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mnist_batch.errors import Unreadable
from mnist_batch.pixels import bmp, colours, gif, jpeg, jpeg2000
from mnist_batch.pixels.opencv import MAX_PIXELS, cv2
from mnist_batch.statuses import Status
from mnist_batch.wording import counted

_AS_STORED = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH  # in grey or in colour, upright

Grey = NDArray[np.uint8]
Samples = NDArray[Any]

# Pages are resampled if the ratio of their pixels' sides is within this range: less is harmless, more is an error.
LEAST_RATIO, MOST_RATIO = 1.15, 4.0
_LIGHT = 192  # strokes this light or lighter cannot be seen on white paper


class Unsupported(Unreadable):
    """A picture that Pillow does not recognise."""


def picture(kind: str, data: bytes, max_pixels: int = MAX_PIXELS) -> Grey:
    """The page of a single-picture file, upright, with square pixels.

    Raises Unreadable (``undecodable``, ``too_large``).
    """
    if kind in _BY_PILLOW:
        return grey(*with_pillow(kind, BytesIO(data), max_pixels))
    if kind == "BMP":
        data = bmp.with_masks_in_header(data)
    if _may_be_transparent(kind, data):
        page = _bounded(_with_alpha(kind, data, max_pixels), max_pixels)
    else:
        page = grey(_bounded(with_opencv(kind, data, _AS_STORED), max_pixels))
    density = _density(kind, data)
    return page if _is_square(density) else square(page, density, _orientation(kind, data), max_pixels)


def pnm(data: bytes, maximum: int, max_pixels: int = MAX_PIXELS) -> Grey:
    """The page of one PBM, PGM or PPM image; ``maximum`` is its sample value of white."""
    page = _bounded(with_opencv("PNM", data, _AS_STORED), max_pixels)
    if maximum in (255, 65535) or data[1:2] in b"14" or (maximum < 255 and data[1:2] in b"23"):  # OpenCV scales these
        return grey(page)
    return grey(np.minimum(page.astype(np.uint32) * 255 // maximum, 255).astype(np.uint8))


def encode(picture: Grey, suffix: str = ".png") -> bytes:
    """Encode a grey picture as an image file of the kind given by its suffix."""
    return bytes(cv2.imencode(suffix, picture)[1])


def with_opencv(kind: str, data: Any, flags: int) -> Samples:
    """A file's samples as OpenCV decodes them: (height, width) or (height, width, 3 or 4) in BGR order."""
    try:
        page = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if "MAX_IMAGE" in str(error):
            raise too_large(MAX_PIXELS) from None
        raise Unreadable(Status.UNDECODABLE, f"corrupt {kind}: {error.err}") from None
    if page is None:
        raise Unreadable(Status.UNDECODABLE, _why_not(kind, data))
    return np.asarray(page)


def _bounded(samples: Samples, max_pixels: int) -> Samples:
    if samples.shape[0] * samples.shape[1] > max_pixels:
        raise too_large(max_pixels)
    return samples


def too_large(max_pixels: int) -> Unreadable:
    """The error for a page with more pixels than the limit."""
    return Unreadable(Status.TOO_LARGE, f"more than {counted(max_pixels, 'pixel')} a page")


_BY_PILLOW = {"GIF": "GIF", "JPEG 2000": "JPEG2000", "AVIF": "AVIF", "HEIF": "HEIF"}


def with_pillow(kind: str, file: BytesIO, max_pixels: int) -> tuple[Samples, Grey | None]:
    """The first picture of a file as Pillow decodes it: upright samples in BGR or grey, and alpha or None."""
    if kind == "HEIF":
        import pillow_heif  # imported here: few folders hold such a file

        pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    elif kind == "AVIF":
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    try:
        with Image.open(file, formats=(_BY_PILLOW.get(kind, kind.upper()),)) as image:
            if image.width * image.height > max_pixels:
                raise too_large(max_pixels)
            if kind == "JPEG 2000":
                jpeg2000.need_readable(file.getvalue())
            return _samples(ImageOps.exif_transpose(gif.first_frame(image) if kind == "GIF" else image))
    except (Unreadable, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise too_large(max_pixels) from None
    except UnidentifiedImageError:
        raise Unsupported(Status.UNDECODABLE, f"corrupt {kind}, or a variant of it that is not read") from None
    except Exception as error:  # noqa: BLE001 - the exceptions of its decoders for damaged files are not documented
        raise Unreadable(Status.UNDECODABLE, f"corrupt {kind}: {error}"[:200]) from None


def _samples(image: Image.Image) -> tuple[Samples, Grey | None]:
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16), None
    if image.mode in ("1", "L", "CMYK", "YCbCr", "LAB", "HSV", "RGB") and "transparency" not in image.info:
        grey_already = image.mode in ("1", "L")
        samples = np.asarray(image.convert("L" if grey_already else "RGB"))
        return (samples if grey_already else samples[:, :, ::-1]), None
    if image.mode in ("I", "F"):
        raise Unreadable(
            Status.UNDECODABLE, f"{'32-bit' if image.mode == 'I' else 'float'} samples, which are not read"
        )
    rgba = np.asarray(image.convert("RGBA"))
    return rgba[:, :, 2::-1], rgba[:, :, 3]


def grey(samples: Samples, alpha: Samples | None = None, associated: bool = False) -> Grey:
    """A grey page of uint8 from samples (height, width) or (height, width, 3), BGR, uint8 or uint16.

    Of a page in colour with two inks there are two planes, (height, width, 2): see ``colours.grey``.

    A picture with alpha is laid over white paper, or over black if its strokes are too light to be seen on white.
    ``associated``: the samples are already multiplied by alpha.
    """
    page = _eight_bits(samples)
    if page.ndim == 3 and page.shape[2] == 1:
        page = page[:, :, 0]
    if alpha is not None and not (alpha == np.iinfo(alpha.dtype).max).all():
        page = page if page.ndim == 2 else np.asarray(cv2.cvtColor(page, cv2.COLOR_BGR2GRAY), np.uint8)
        page = _on_paper(page, _eight_bits(alpha), associated)
    return np.ascontiguousarray(page if page.ndim == 2 else colours.grey(page), np.uint8)


def _eight_bits(samples: Samples) -> Grey:
    # Samples of 10 or 12 bits are often stored in 16; the largest sample shows how many bits are used.
    if samples.dtype == np.uint16:
        bits = int(samples.max(initial=0)).bit_length()
        return np.asarray(samples >> max(0, bits - 8), np.uint8)
    if samples.dtype != np.uint8:
        raise Unreadable(
            Status.UNDECODABLE, f"samples of type {samples.dtype}, which are not read; save it with 8 bits"
        )
    return np.asarray(samples)


def _on_paper(page: Grey, alpha: Grey, associated: bool) -> Grey:
    cover = alpha.astype(np.uint16)
    laid = page.astype(np.uint16) * (255 if associated else cover)
    strokes = 2 * cover > max(int(cover.max(initial=0)), 1)
    mostly_clear = 2 * np.count_nonzero(strokes) < strokes.size
    white_ink = mostly_clear and bool(strokes.any()) and bool((laid >= _LIGHT * cover)[strokes].all())
    paper = 0 if white_ink else 255
    over = (laid.astype(np.uint32) + paper * (255 - cover) + 127) // 255
    return np.asarray(np.minimum(over, 255), np.uint8)


def _may_be_transparent(kind: str, data: bytes) -> bool:
    if kind == "PNG":
        return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[: data.find(b"IDAT")]
    if kind == "BMP":
        return bmp.may_have_alpha(data)
    return kind == "WebP" and data[12:16] in (b"VP8X", b"VP8L")


def _with_alpha(kind: str, data: bytes, max_pixels: int) -> Grey:
    # OpenCV either keeps alpha or applies the EXIF orientation; Pillow does both, but in 8 bits.
    if kind == "PNG" and data[24:25] == b"\x10":
        return _turned_16_bits(data)
    if kind == "BMP":
        samples = with_opencv(kind, data, cv2.IMREAD_UNCHANGED)
        four = (
            samples.ndim == 3 and samples.shape[2] == 4 and samples[:, :, 3].any()
        )  # many writers leave it at 0: no alpha
        return grey(samples[:, :, :3], samples[:, :, 3]) if four else grey(samples[:, :, :3])
    return grey(*with_pillow(kind, BytesIO(data), max_pixels))


def _turned_16_bits(data: bytes) -> Grey:
    if data[25:26] not in (b"\x04", b"\x06"):  # one value is marked transparent; OpenCV ignores that
        return grey(with_opencv("PNG", data, _AS_STORED))
    samples = with_opencv("PNG", data, cv2.IMREAD_UNCHANGED)
    if samples.ndim == 3 and samples.shape[2] == 4:
        return turned(grey(samples[:, :, :3], samples[:, :, 3]), _orientation("PNG", data))
    return turned(grey(samples), _orientation("PNG", data))


def turned(page: Grey, orientation: int) -> Grey:
    """The page turned upright; ``orientation`` is 1 to 8, as in EXIF and TIFF."""
    if orientation in (5, 6, 7, 8):
        page = page.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        page = page[:, ::-1]
    if orientation in (3, 4, 7, 8):
        page = page[::-1]
    return np.ascontiguousarray(page)


def square(page: Grey, density: tuple[float, float], orientation: int, max_pixels: int) -> Grey:
    """Resample an upright page to square pixels; a fax of 204x98 dpi, for example, has none.

    ``density`` is pixels per unit across and down before the page was turned. If it is unknown, nearly square or
    implausible, the page is returned unchanged. The coarser side is stretched, or the finer side shrunk if stretching
    would need more than ``max_pixels``.
    """
    if _is_square(density):
        return page
    across, down = density if orientation < 5 else density[::-1]
    ratio, (height, width) = across / down, page.shape[:2]
    if height * width * max(ratio, 1 / ratio) <= max_pixels:
        size = (width, round(height * ratio)) if ratio > 1 else (round(width / ratio), height)
        return np.asarray(cv2.resize(page, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    size = (max(1, round(width / ratio)), height) if ratio > 1 else (width, max(1, round(height * ratio)))
    return np.asarray(cv2.resize(page, size, interpolation=cv2.INTER_AREA), np.uint8)


def _is_square(density: tuple[float, float]) -> bool:
    across, down = density
    if across == down or min(across, down) <= 0:
        return True
    return not LEAST_RATIO <= max(across, down) / min(across, down) <= MOST_RATIO


def _density(kind: str, data: bytes) -> tuple[float, float]:
    if kind == "PNG":
        at = data.find(b"pHYs", 33, data.find(b"IDAT", 33))
        return struct.unpack_from(">II", data, at + 4) if at > 0 else (0, 0)
    if kind == "JPEG":
        return jpeg.density(data)
    if kind == "BMP":
        return bmp.density(data)
    return 0, 0


def _orientation(kind: str, data: bytes) -> int:
    try:
        with Image.open(BytesIO(data), formats=(kind,)) as image:
            return int(image.getexif().get(274, 1))
    except Exception:  # noqa: BLE001 - unreadable EXIF means no rotation
        return 1


def _why_not(kind: str, data: Any) -> str:
    """The reason why OpenCV cannot read a file."""
    if kind == "JPEG":
        return jpeg.why_not(data)
    variant = bmp.variant(data) if kind == "BMP" else "of Apple's own (CgBI)" if data[12:16] == b"CgBI" else None
    return f"a {kind} {variant}, which is not read; save it as PNG" if variant else f"truncated or corrupt {kind}"
