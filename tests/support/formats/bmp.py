"""BMP by hand: Windows and OS/2 headers, every depth, run lengths and masks."""

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tests.support.formats.drawing import RESAMPLED, Kind, Row, colour, narrow, strokes
from tests.support.formats.png import rgba
from tests.support.formats.tiff_writer import packed

TWO_COLOURS = [(220, 245, 250), (120, 30, 20)]  # paper, ink: blue first
LIGHT = (Row(polarity="light_on_dark"),)


def bmp(
    samples: NDArray,
    bits: int,
    *,
    palette: Sequence[tuple[int, int, int]] = (),
    masks: Sequence[int] = (),
    compression: int = 0,
    header: int = 40,
    top_down: bool = False,
    pels_per_metre: tuple[int, int] = (0, 0),
    pixels: bytes | None = None,
) -> bytes:
    """A BMP with a header of 12 (OS/2), 40, 64 (OS/2 2.x), 108 (V4) or 124 bytes (V5)."""
    height, width = samples.shape[:2]
    rows = samples if top_down else samples[::-1]
    if pixels is None:
        raw = packed(rows, bits) if bits <= 8 else rows.tobytes()
        size = len(raw) // height
        pixels = b"".join(raw[at : at + size] + bytes(-size % 4) for at in range(0, len(raw), size))
    entry = 3 if header == 12 else 4
    colours = b"".join(bytes(one).ljust(entry, b"\0") for one in palette)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
        colours = colours.ljust(3 * 2**bits if bits <= 8 else 0, b"\0")  # it has no count: all are there
    else:
        info = struct.pack(
            "<IiiHHIIiiII",
            header,
            width,
            -height if top_down else height,
            1,
            bits,
            compression,
            len(pixels),
            *pels_per_metre,
            len(palette),
            0,
        )
        info += struct.pack(f"<{len(masks)}I", *masks)
        if header > 40:
            info = info + b"BGRs"[::-1] if header >= 108 and len(masks) == 4 else info
            info = info.ljust(header, b"\0")
    start = 14 + len(info) + len(colours)
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + info + colours + pixels


def rle(samples: NDArray, bits: int) -> bytes:
    """Rows of BMP's run lengths: runs of one value, each row ended, the picture ended."""
    out = bytearray()
    for row in samples[::-1]:
        edges = [0, *(np.flatnonzero(np.diff(row)) + 1), len(row)]
        for start, end in pairwise(edges):
            value = int(row[start]) * (1 if bits == 8 else 17)
            for at in range(start, end, 255):
                out += bytes([min(255, end - at), value])
        out += b"\0\0"
    return bytes(out) + b"\0\1"


def kinds() -> Iterator[Kind]:
    """Every depth, both directions, run lengths, masks, old and new headers."""
    ink = strokes().astype(np.uint8)
    bgr = colour()[..., ::-1]
    clear = np.concatenate([bgr, np.zeros((200, 160, 1), np.uint8)], axis=2)
    for bits in (1, 4, 8):
        for header in (12, 40, 124):
            yield Kind(
                f"BMP of {bits} bits, header of {header} bytes",
                lambda bits=bits, header=header: bmp(ink, bits, palette=TWO_COLOURS, header=header),
            )
        yield Kind(
            f"BMP of {bits} bits, palette the other way round",
            lambda bits=bits: bmp(1 - ink, bits, palette=TWO_COLOURS[::-1]),
        )
        yield Kind(
            f"BMP of {bits} bits, top-down", lambda bits=bits: bmp(ink, bits, palette=TWO_COLOURS, top_down=True)
        )
    for bits in (4, 8):
        yield Kind(
            f"BMP of {bits} bits, run lengths",
            lambda bits=bits: bmp(ink, bits, palette=TWO_COLOURS, compression=3 - bits // 4, pixels=rle(ink, bits)),
        )
    for header in (12, 40, 64, 108, 124):
        yield Kind(f"BMP of 24 bits, header of {header} bytes", lambda header=header: bmp(bgr, 24, header=header))
    yield Kind("BMP of 24 bits, 157 pixels wide, top-down", lambda: bmp(bgr[:, :157], 24, top_down=True))
    yield Kind("BMP of 32 bits, fourth byte 0", lambda: bmp(clear, 32))
    five = (bgr.astype(np.uint16) >> 3) @ np.array([1, 32, 1024], np.uint16)
    yield Kind("BMP of 16 bits, 5:5:5", lambda: bmp(five.astype("<u2"), 16))
    six = (bgr.astype(np.uint16) >> [3, 2, 3]) @ np.array([1, 32, 2048], np.uint16)
    yield Kind(
        "BMP of 16 bits, 5:6:5 by masks",
        lambda: bmp(six.astype("<u2"), 16, compression=3, masks=[0xF800, 0x07E0, 0x001F]),
    )
    four_masks = [0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000]
    for header in (108, 124):
        yield Kind(
            f"BMP of 32 bits, ink in alpha, header of {header} bytes",
            lambda header=header: bmp(rgba(), 32, compression=3, masks=four_masks, header=header),
        )
    yield Kind(
        "BMP of 32 bits by masks without alpha",
        lambda: bmp(clear, 32, compression=3, masks=[0x00FF0000, 0x0000FF00, 0x000000FF]),
    )
    four = (bgr.astype(np.uint16) >> 4) @ np.array([1, 16, 256], np.uint16)
    yield Kind(
        "BMP of 16 bits, 4:4:4 by masks",
        lambda: bmp(four.astype("<u2"), 16, compression=3, masks=[0x0F00, 0x00F0, 0x000F]),
        (Row("undecodable", word="other masks"),),
    )
    long = b"".join(b"".join(bytes([1, *pixel]) for pixel in row) + b"\0\0" for row in bgr[::-1]) + b"\0\1"
    yield Kind(
        "BMP of 24 bits, run lengths",
        lambda: bmp(bgr, 24, header=64, compression=4, pixels=long),
        (Row("undecodable", word="RLE24"),),
    )
    for name, share, pels in [("204x98 dpi", 98 / 204, (8031, 3858)), ("100x200 dpi", 2, (3937, 7874))]:
        yield Kind(
            f"BMP of 1 bit, {name}",
            lambda share=share, pels=pels: bmp(narrow(ink, down=share), 1, palette=TWO_COLOURS, pels_per_metre=pels),
            (Row(tolerance=RESAMPLED),),
        )
        yield Kind(
            f"BMP of 24 bits, {name}",
            lambda share=share, pels=pels: bmp(narrow(bgr, down=share), 24, pels_per_metre=pels),
            (Row(tolerance=RESAMPLED),),
        )
    yield Kind("BMP of 8 bits, 300x300 dpi", lambda: bmp(ink, 8, palette=TWO_COLOURS, pels_per_metre=(11811, 11811)))
    yield Kind("BMP of 8 bits, light on dark", lambda: bmp(ink, 8, palette=TWO_COLOURS[::-1]), LIGHT)
