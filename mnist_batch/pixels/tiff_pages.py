"""Read the pages of a TIFF as grey pages, each with the decoder that handles its kind correctly.

Tested with OpenCV 5.0 and Pillow 13. OpenCV drops the alpha of grey pages, scrambles 16-bit planes and rotated tiles,
returns black for unknown compressions, and refuses 2 and 4 bits a sample. Pillow reads 2 and 4 bits a sample, but
lacks modes for most 16-bit kinds.
"""

import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import numpy as np

from mnist_batch.errors import Unreadable
from mnist_batch.pixels import decoding, tiff
from mnist_batch.pixels.decoding import Grey, Samples
from mnist_batch.pixels.opencv import cv2
from mnist_batch.pixels.tiff import Changes, Directory
from mnist_batch.statuses import Status

NAMES = {
    1: "none", 2: "CCITT RLE", 3: "CCITT Group 3", 4: "CCITT Group 4", 5: "LZW", 6: "old-style JPEG", 7: "JPEG",
    8: "Deflate", 9: "JBIG (T.85)", 10: "JBIG (T.43)", 32766: "NeXT", 32771: "CCITT RLE in words", 32773: "PackBits",
    32809: "ThunderScan", 32908: "PixarFilm", 32909: "PixarLog", 32946: "Deflate", 34661: "JBIG", 34676: "SGI LogLuv",
    34677: "SGI LogLuv 24", 33003: "JPEG 2000 (Aperio)", 33005: "JPEG 2000 (Aperio)", 34712: "JPEG 2000", 34887: "LERC",
    34892: "lossy JPEG (DNG)", 34925: "LZMA", 34933: "PNG", 34934: "JPEG XR", 22610: "JPEG XR", 50000: "Zstandard",
    50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL (DNG)",
}  # fmt: skip
_OPENCV = (1, 2, 3, 4, 5, 7, 8, 32773, 32946)
_PILLOW = (6, 34925, 50000)
READ = frozenset(_OPENCV + _PILLOW)
_BYTE_BY_BYTE = (1, 5, 8, 32773, 32946)  # lossless compressions of plain bytes
_PACKED = (5, 8, 32773, 32946)
_FORMATS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
_LIGHT_IS_0, _GREY, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_MOST_SAMPLES = 16
_COLOURS = {_LIGHT_IS_0: 1, _GREY: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3, _LAB: 3}


def readers(data: bytes, most: int, max_pixels: int) -> tuple[list[Callable[[], Grey]], Unreadable | None]:
    """A function to read each page of a file, in order, and the fault in the chain of directories after them, if any.

    Each function returns its page or raises Unreadable. Raises Unreadable if the file has no page.
    """
    directories, fault = tiff.pages(data, most)
    file = tiff.Pointer(data)
    return [partial(_page, file, page, max_pixels) for page in directories], fault


def _page(file: tiff.Pointer, page: Directory, max_pixels: int) -> Grey:
    try:
        grey = _upright(file, page, max_pixels)
    except struct.error as error:
        raise Unreadable(Status.UNDECODABLE, f"corrupt TIFF: {error}") from None
    if tiff.X_RESOLUTION not in page.entries:
        return grey
    return decoding.square(grey, page.density, page.first(tiff.ORIENTATION, 1), max_pixels)


def _upright(file: tiff.Pointer, page: Directory, max_pixels: int) -> Grey:
    bits, samples = page.first(tiff.BITS, 1), page.first(tiff.SAMPLES, 1)
    photometric = page.first(tiff.PHOTOMETRIC, -1)
    if photometric < 0:
        photometric = _unsaid(page, samples)
    _refuse(page, max_pixels, bits, samples, photometric)
    orientation, planes = page.first(tiff.ORIENTATION, 1), page.first(tiff.PLANAR, 1) == 2 and samples > 1
    if page.first(tiff.COMPRESSION, 1) in _PILLOW or bits == 2 or (bits == 4 and photometric != _PALETTE):
        grey = _by_pillow(file, page, photometric, bits, max_pixels)
    elif samples > 4 or (bits == 16 and (planes or photometric == _CMYK)) or (photometric < _RGB and samples > 1):
        grey = _by_sample(file, page, samples, photometric, planes)
    elif tiff.TILE_WIDTH in page.entries and bits <= 8 and _tile_bits(page, bits, 1 if planes else samples) % 8192:
        # OpenCV reads uncompressed tiles only if they are whole KiB.
        grey = _coloured(
            _untiled(_described(file, page, _strips(page) | {tiff.PHOTOMETRIC: _short(page, photometric)}), page),
            page,
            photometric,
        )
    elif orientation in (0, 1) and tiff.PHOTOMETRIC in page.entries and page.first(tiff.FORMAT, 1) == 1:
        with file.at(page) as data:
            stored = decoding.with_opencv("TIFF", data, cv2.IMREAD_UNCHANGED)
        _need_unpacked(file, page, stored, photometric, max_pixels)
        return _coloured(stored, page, photometric)
    else:
        stored = _described(file, page, {tiff.PHOTOMETRIC: _short(page, photometric)})
        _need_unpacked(file, page, stored, photometric, max_pixels)
        grey = _coloured(stored, page, photometric)
    return decoding.turned(grey, orientation)


def _need_unpacked(file: tiff.Pointer, page: Directory, stored: Samples, photometric: int, max_pixels: int) -> None:
    """Raise Unreadable if a strip cannot be unpacked to its end, which OpenCV hides by filling the rest with 0."""
    if page.first(tiff.COMPRESSION, 1) not in _PACKED or page.first(tiff.PLANAR, 1) == 2:
        return
    if stored.dtype != np.uint8 or photometric > _RGB or tiff.TILE_WIDTH in page.entries:
        return
    rows = page.first(tiff.ROWS_A_STRIP, len(stored))
    ends = [stored[-1], *(stored[rows - 1 :: rows] if 0 < rows < len(stored) else ())]
    if photometric == _LIGHT_IS_0 or not all(any(end.tobytes()) for end in ends):
        described = file.at_changed(page, {tiff.PHOTOMETRIC: _short(page, photometric)})
        with suppress(decoding.Unsupported):
            decoding.with_pillow("TIFF", described, max_pixels)


def _unsaid(page: Directory, samples: int) -> int:
    """The photometric interpretation of a page that does not give one, as libtiff assumes it."""
    is_fax = page.first(tiff.COMPRESSION, 1) in (2, 3, 4)
    return _RGB if samples > 2 else _LIGHT_IS_0 if is_fax else _GREY


def _refuse(page: Directory, max_pixels: int, bits: int, samples: int, photometric: int) -> None:
    """Raise Unreadable, naming the property of a page that is not supported."""
    compression, kind = page.first(tiff.COMPRESSION, 1), page.first(tiff.FORMAT, 1)
    pixels, wrong = page.first(tiff.WIDTH) * page.first(tiff.HEIGHT), None
    places = tiff.TILES if tiff.TILE_WIDTH in page.entries else tiff.STRIPS
    if pixels <= 0 or not (places in page.entries or tiff.OLD_JPEG in page.entries):
        raise Unreadable(Status.UNDECODABLE, "truncated or corrupt TIFF: no pixels in the directory of the page")
    if pixels > max_pixels:
        raise decoding.too_large(max_pixels)
    if compression not in READ:
        wrong = f"compression {compression} ({NAMES.get(compression, 'of no known name')})"
    elif compression in (6, 7) and bits != 8:
        wrong = f"a JPEG of {bits} bits a sample"
    elif kind in _FORMATS:
        wrong = f"{bits}-bit {_FORMATS[kind]} samples"
    elif photometric not in _COLOURS:
        wrong = f"colours of kind {photometric} (PhotometricInterpretation)"
    elif compression == 6 and samples == 1:
        wrong = "an old-style JPEG in grey"
    elif compression in _PILLOW and not _known_to_pillow(page, bits, samples, photometric):
        wrong = f"{bits} bits a sample, {samples} a pixel, in {NAMES[compression]}"
    elif bits not in _bits(photometric, samples) or (samples > 1 and len(set(page.numbers(tiff.BITS))) > 1):
        wrong = f"{'+'.join(map(str, dict.fromkeys(page.numbers(tiff.BITS))))} bits a sample"
    elif not _COLOURS[photometric] <= samples <= _MOST_SAMPLES:
        wrong = f"{samples} samples a pixel for {_COLOURS[photometric]} colours"
    if wrong:
        raise Unreadable(
            Status.UNDECODABLE, f"a TIFF with {wrong}, which is not read; save it as PNG, or as plain TIFF"
        )


def _known_to_pillow(page: Directory, bits: int, samples: int, photometric: int) -> bool:
    """Whether Pillow has a mode for these samples; it must, if OpenCV cannot unpack them."""
    if samples == 2:
        return bits == 8 and page.first(tiff.PLANAR, 1) == 1 and photometric == _GREY
    return bits not in (10, 12, 14) or (bits == 12 and page.order == "<")


def _bits(photometric: int, samples: int) -> tuple[int, ...]:
    if photometric in (_LIGHT_IS_0, _GREY) and samples == 1:
        return 1, 2, 4, 8, 10, 12, 14, 16
    if photometric == _PALETTE:
        return 1, 2, 4, 8
    return (8,) if photometric in (_YCBCR, _LAB) else (8, 16)


def _described(file: tiff.Pointer, page: Directory, changes: Changes) -> Samples:
    """The samples that OpenCV decodes from a page with a changed description."""
    if page.first(tiff.FORMAT, 1) == 4:  # undefined, to be taken for integers
        changes = {**changes, tiff.FORMAT: None}
    with file.at_changed(page, changes).getbuffer() as data:
        return decoding.with_opencv("TIFF", data, cv2.IMREAD_UNCHANGED)


def _coloured(samples: Samples, page: Directory, photometric: int) -> Grey:
    if samples.ndim == 2 and samples.dtype == np.uint16 and photometric == _LIGHT_IS_0:
        return 255 - decoding.grey(samples)  # OpenCV inverts only pages of up to 8 bits
    if samples.ndim == 2 or samples.shape[2] < 4:
        return decoding.grey(samples)
    kind = page.first(tiff.EXTRA) if photometric == _RGB else 0
    if kind not in (1, 2):
        return decoding.grey(samples[:, :, :3])
    multiplied = kind == 1 or samples.dtype == np.uint8  # libtiff multiplies 8-bit samples by alpha
    return decoding.grey(samples[:, :, :3], samples[:, :, 3], multiplied)


def _by_pillow(file: tiff.Pointer, page: Directory, photometric: int, bits: int, max_pixels: int) -> Grey:
    inverted = photometric == _LIGHT_IS_0 and bits > 8  # Pillow reads these only where dark is 0
    changes: Changes = {tiff.PHOTOMETRIC: _short(page, _GREY if inverted else photometric)}
    colours = page.numbers(tiff.COLOURS)
    if colours and max(colours) < 256:  # 8-bit colours, which Pillow would show as black
        changes[tiff.COLOURS] = _short(page, *(257 * value for value in colours))
    grey = decoding.grey(*decoding.with_pillow("TIFF", file.at_changed(page, changes), max_pixels))
    return 255 - grey if inverted else grey


def _by_sample(file: tiff.Pointer, page: Directory, samples: int, photometric: int, planes: bool) -> Grey:
    """Read each sample of a page as a grey page of 8 or 16 bits, and combine them into grey."""
    if page.first(tiff.COMPRESSION, 1) not in _BYTE_BY_BYTE or photometric not in (_LIGHT_IS_0, _GREY, _RGB, _CMYK):
        name = NAMES[page.first(tiff.COMPRESSION, 1)]
        raise Unreadable(
            Status.UNDECODABLE, f"a TIFF of {samples} samples a pixel in {name}, which is not read; save it as PNG"
        )
    stack = _untiled((_planes if planes else _interleaved)(file, page, samples), page)
    number = _COLOURS[photometric]
    colours = stack[:, :, :number]
    if photometric == _LIGHT_IS_0:
        colours = np.iinfo(colours.dtype).max - colours
    elif photometric == _RGB:
        colours = colours[:, :, ::-1]
    elif photometric == _CMYK:
        light = 255 - (colours >> 8 if colours.dtype == np.uint16 else colours).astype(np.uint16)
        colours = (light[:, :, 2::-1] * light[:, :, 3:] // 255).astype(np.uint8)
    kinds = page.numbers(tiff.EXTRA)
    at = next((at for at, kind in enumerate(kinds) if kind in (1, 2)), None)
    if at is None or number + at >= samples:
        return decoding.grey(colours)
    return decoding.grey(colours, stack[:, :, number + at], associated=kinds[at] == 1)


def _planes(file: tiff.Pointer, page: Directory, samples: int) -> Samples:
    return np.dstack([_as_grey(file, page, _strips(page, sample, samples), 1) for sample in range(samples)])


def _interleaved(file: tiff.Pointer, page: Directory, samples: int) -> Samples:
    """The samples of a page, read as a grey page that is as many times wider."""
    wide = _as_grey(file, page, _strips(page), samples)
    stack = wide.reshape(len(wide), -1, samples)
    if page.first(tiff.PREDICTOR, 1) == 2:  # each pixel is stored as its difference from its left neighbour
        stack = np.cumsum(stack, axis=1, dtype=stack.dtype)
    return stack


def _as_grey(file: tiff.Pointer, page: Directory, strips: Changes, samples: int) -> Samples:
    wide = _long(page, samples * (page.first(tiff.TILE_WIDTH) or page.first(tiff.WIDTH)))
    one = {tiff.SAMPLES: _short(page, 1), tiff.BITS: _short(page, page.first(tiff.BITS)), tiff.WIDTH: wide}
    left_out: Changes = dict.fromkeys((tiff.EXTRA, tiff.FORMAT, tiff.PLANAR))
    if samples > 1:
        left_out[tiff.PREDICTOR] = None
    return _described(file, page, {**strips, **one, **left_out, tiff.PHOTOMETRIC: _short(page, _GREY)})


def _strips(page: Directory, sample: int = 0, planes: int = 1) -> Changes:
    """The changes that describe a page, or one plane of it, as strips; tiles become strips one below the other."""
    tiled = tiff.TILE_WIDTH in page.entries
    places, sizes = (tiff.TILES, tiff.TILE_SIZES) if tiled else (tiff.STRIPS, tiff.STRIP_SIZES)
    offsets, counts = page.numbers(places), page.numbers(sizes)
    each = len(offsets) // planes
    part = slice(sample * each, (sample + 1) * each)
    changes: Changes = {tiff.STRIPS: _long(page, *offsets[part])}
    if counts:
        changes[tiff.STRIP_SIZES] = _long(page, *counts[part])
    if tiled:
        across, down = _tiles(page)
        if each < across * down:
            raise Unreadable(Status.UNDECODABLE, "corrupt TIFF: it has fewer tiles than the page needs")
        height = page.first(tiff.TILE_HEIGHT)
        changes |= dict.fromkeys((tiff.TILE_WIDTH, tiff.TILE_HEIGHT, tiff.TILES, tiff.TILE_SIZES))
        changes |= {
            tiff.WIDTH: _long(page, page.first(tiff.TILE_WIDTH)),
            tiff.HEIGHT: _long(page, across * down * height),
            tiff.ROWS_A_STRIP: _long(page, height),
        }
    return changes


def _tile_bits(page: Directory, bits: int, samples: int) -> int:
    return page.first(tiff.TILE_WIDTH) * page.first(tiff.TILE_HEIGHT) * bits * samples


def _tiles(page: Directory) -> tuple[int, int]:
    """The number of tiles across and down."""
    sides = page.first(tiff.TILE_WIDTH), page.first(tiff.TILE_HEIGHT)
    if min(sides) <= 0:
        raise Unreadable(Status.UNDECODABLE, "corrupt TIFF: its tiles have no size")
    across, down = (-(-page.first(of) // side) for of, side in zip((tiff.WIDTH, tiff.HEIGHT), sides, strict=True))
    return across, down


def _untiled(samples: Samples, page: Directory) -> Samples:
    """The page, put together from tiles that were read one below the other."""
    if tiff.TILE_WIDTH not in page.entries:
        return samples
    (across, down), more = _tiles(page), samples.shape[2:]
    width, height = page.first(tiff.TILE_WIDTH), page.first(tiff.TILE_HEIGHT)
    rows = samples.reshape(down, across, height, width, *more).swapaxes(1, 2)
    whole = rows.reshape(down * height, across * width, *more)
    return whole[: page.first(tiff.HEIGHT), : page.first(tiff.WIDTH)]


def _short(page: Directory, *values: int) -> tuple[int, bytes]:
    return 3, struct.pack(f"{page.order}{len(values)}H", *values)


def _long(page: Directory, *values: int) -> tuple[int, bytes]:
    return 4, struct.pack(f"{page.order}{len(values)}I", *values)
