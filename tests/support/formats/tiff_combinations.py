"""TIFF with several of these at once: samples, layout, compression, byte order, orientation and resolution, drawn."""

import zlib
from collections.abc import Callable, Iterator

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from tests.support.formats.drawing import EXACT, RESAMPLED, Kind, Row, colour, grey, inked, narrow, turned
from tests.support.formats.png import rgba
from tests.support.formats.tiff_compressions import bits
from tests.support.formats.tiff_samples import levels, palette_tags
from tests.support.formats.tiff_writer import Values, page, same, tiff

COUNT = 120
INDEX = bits(one_is_ink=True)  # 0 is paper, 1 is ink

# Samples, bits of each, whether they lie in planes, and their tags.
SAMPLES: dict[str, tuple[Callable[[], NDArray], int, bool, dict[int, Values]]] = {
    "1 bit": (bits, 1, False, {}),
    "1 bit MinIsWhite": (lambda: INDEX, 1, False, {262: 0}),
    "4 bits": (lambda: levels(4), 4, False, {}),
    "4 bits MinIsWhite": (lambda: 15 - levels(4), 4, False, {262: 0}),
    "8 bits": (grey, 8, False, {}),
    "8 bits MinIsWhite": (lambda: 255 - grey(), 8, False, {262: 0}),
    "12 bits": (lambda: levels(12), 12, False, {}),
    "16 bits": (lambda: levels(16), 16, False, {}),
    "16 bits MinIsWhite": (lambda: 65535 - levels(16), 16, False, {262: 0}),
    "palette of 2 bits": (lambda: INDEX, 2, False, {262: 3, 320: palette_tags(2)}),
    "palette of 4 bits": (lambda: INDEX, 4, False, {262: 3, 320: palette_tags(4)}),
    "palette of 8 bits": (lambda: INDEX, 8, False, {262: 3, 320: palette_tags(8)}),
    "RGB": (colour, 8, False, {}),
    "RGB in planes": (colour, 8, True, {}),
    "RGB of 16 bits": (lambda: colour().astype(np.uint16) * 257, 16, False, {}),
    "RGB of 16 bits in planes": (lambda: colour().astype(np.uint16) * 257, 16, True, {}),
    "grey + alpha": (inked, 8, False, {262: 1, 338: 2}),
    "grey + alpha of 16 bits": (lambda: inked().astype(np.uint16) * 257, 16, False, {262: 1, 338: 2}),
    "grey + alpha in planes": (inked, 8, True, {262: 1, 338: 2}),
    "RGBA": (rgba, 8, False, {338: 2}),
    "RGBA in planes": (rgba, 8, True, {338: 2}),
    "RGBA of 16 bits": (lambda: rgba().astype(np.uint16) * 257, 16, False, {338: 2}),
    "RGBA, multiplied": (rgba, 8, False, {338: 1}),
}
# OpenCV reads no ZSTD, and Pillow none of these; of 12 bits it reads what is little-endian.
NOT_IN_ZSTD = ("grey + alpha in planes", "grey + alpha of 16 bits")
LAYOUTS: dict[str, dict[str, int | None]] = {
    "one strip": {},
    "strips": {"rows_per_strip": 37},
    "tiles of 16": {"tile": 16},
    "tiles of 48": {"tile": 48},
    "tiles of 128": {"tile": 128},
}
COMPRESSIONS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (1, same),
    "LZW": (5, imagecodecs.lzw_encode),
    "Deflate": (8, zlib.compress),
    "ZSTD": (50000, imagecodecs.zstd_encode),
}


def kinds() -> Iterator[Kind]:
    """The same ones each time; every kind of samples is among them."""
    random = np.random.default_rng(21)
    seen = set()
    while len(seen) < COUNT:
        samples = list(SAMPLES)[len(seen) % len(SAMPLES)]
        layout, compression = random.choice(list(LAYOUTS)), random.choice(list(COMPRESSIONS))
        order, big = "<>"[random.integers(2)], bool(random.integers(2))
        orientation, is_fax = int(random.choice([1, 1, 2, 3, 4, 5, 6, 7, 8])), bool(random.integers(3) == 0)
        file = f"{'Big' * big}TIFF, {'little' if order == '<' else 'big'}-endian"
        name = f"{file}, {samples}, {layout}, {compression}, orientation {orientation}" + ", 204x98" * is_fax
        if name not in seen:
            seen.add(name)
            chosen = samples, layout, compression, order, big, orientation, is_fax
            row = Row(tolerance=RESAMPLED if is_fax else EXACT)
            if compression == "ZSTD" and (samples in NOT_IN_ZSTD or (samples == "12 bits" and order == ">")):
                row = Row("undecodable", word="a pixel, in Zstandard")
            yield Kind(name, lambda chosen=chosen: made(*chosen), (row,))


def made(samples: str, layout: str, compression: str, order: str, big: bool, orientation: int, is_fax: bool) -> bytes:
    """A file of one combination."""
    pixels, bits_each, planes, tags = SAMPLES[samples]
    stored = turned(pixels(), orientation)
    number, compress = COMPRESSIONS[compression]
    tags = tags | {274: orientation} | ({282: 204, 283: 98, 296: 2} if is_fax else {})
    if is_fax:
        stored = narrow(stored, down=98 / 204)
    one = page(
        stored, tags, bits=bits_each, planes=planes, order=order, compression=number, compress=compress,
        **LAYOUTS[layout],
    )  # fmt: skip
    return tiff(one, order=order, big=big)
