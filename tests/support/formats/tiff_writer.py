"""TIFF by hand: whatever combination of tags, byte order and layout the specification allows (TIFF 6.0, BigTIFF)."""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SHORT, LONG, RATIONAL, LONG8 = 3, 4, 5, 16
SIZES = {1: 1, 2: 1, SHORT: 2, LONG: 4, RATIONAL: 8, 7: 1, LONG8: 8}
LETTERS = {1: "B", 2: "B", SHORT: "H", LONG: "I", 7: "B", LONG8: "Q"}
LONGS = (254, 273, 279, 324, 325, 330, 513, 514)
RATIONALS = (282, 283, 529, 532)
BYTES = (347, 700)  # of type 7, undefined

Values = int | float | bytes | Sequence[int | float]


@dataclass
class Page:
    """A directory: its tags, its strips or tiles as they are stored, and directories below it (tag 330)."""

    tags: dict[int, Values]
    blocks: list[bytes]
    below: list["Page"] = field(default_factory=list)


def same(block: bytes) -> bytes:
    """No compression."""
    return block


def packed(samples: NDArray, bits: int, order: str = "<") -> bytes:
    """Rows of samples with this many bits each; every row begins with a new byte."""
    if bits == 16:
        return samples.astype(order + "u2").tobytes()
    rows = samples.reshape(len(samples), -1).astype(np.uint16)
    each = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(each.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()


def page(
    samples: NDArray,
    tags: Mapping[int, Values | None] | None = None,
    *,
    bits: int = 8,
    tile: int | None = None,
    rows_per_strip: int | None = None,
    compression: int = 1,
    compress: Callable[[bytes], bytes] = same,
    planes: bool = False,
    order: str = "<",
    below: Iterable[Page] = (),
) -> Page:
    """A page of samples (height, width) or (height, width, samples); ``tags`` come on top, None leaves one out."""
    height, width = samples.shape[:2]
    count = samples.shape[2] if samples.ndim == 3 else 1
    rows = rows_per_strip or height
    default: dict[int, Values | None] = {
        256: width,
        257: height,
        258: [bits] * count,
        259: compression,
        262: 2 if count >= 3 else 1,
        277: count,
    }
    default |= {322: tile, 323: tile} if tile else {278: rows}
    default |= {284: 2} if planes else {}
    parts = [samples[..., plane] for plane in range(count)] if planes else [samples]
    blocks = []
    for part in parts:
        if tile:
            down, across = -height % tile, -width % tile
            padded = np.pad(part, [(0, down), (0, across), *[(0, 0)] * (part.ndim - 2)], mode="edge")
            cut = [padded[y : y + tile, x : x + tile] for y in range(0, height, tile) for x in range(0, width, tile)]
        else:
            cut = [part[y : y + rows] for y in range(0, height, rows)]
        blocks += [compress(packed(block, bits, order)) for block in cut]
    all_tags = default | dict(tags or {})
    return Page({tag: value for tag, value in all_tags.items() if value is not None}, blocks, list(below))


def tiff(*pages: Page, order: str = "<", big: bool = False) -> bytes:
    """A file of these pages, little-endian (``<``) or big-endian (``>``), of 32 or 64 bits."""
    mark = b"II" if order == "<" else b"MM"
    file = bytearray(mark + (struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0)))
    link = 8 if big else 4
    for one in pages:
        at, following = _append(file, one, order, big)
        struct.pack_into(order + ("Q" if big else "I"), file, link, at)
        link = following
    return bytes(file)


def _append(file: bytearray, page: Page, order: str, big: bool) -> tuple[int, int]:
    tags = dict(page.tags)
    if page.below:
        tags[330] = [_append(file, child, order, big)[0] for child in page.below]
    tiled = 322 in tags
    if page.blocks:
        tags.setdefault(324 if tiled else 273, [_place(file, block) for block in page.blocks])
        tags.setdefault(325 if tiled else 279, [len(block) for block in page.blocks])
    tags = {tag: value for tag, value in tags.items() if value != ()}  # () leaves out what is written by default
    inline = 8 if big else 4
    entries = b""
    for tag in sorted(tags):
        kind, count, value = _value(tag, tags[tag], order, big)
        if len(value) > inline:
            value = struct.pack(order + ("Q" if big else "I"), _place(file, value))
        entries += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count) + value.ljust(inline, b"\0")
    count_and_entries = struct.pack(order + ("Q" if big else "H"), len(tags)) + entries
    at = _place(file, count_and_entries + bytes(inline))
    return at, at + len(count_and_entries)


def _place(file: bytearray, block: bytes) -> int:
    file += bytes(len(file) % 2)
    file += block
    return len(file) - len(block)


def _value(tag: int, values: Values, order: str, big: bool) -> tuple[int, int, bytes]:
    if isinstance(values, bytes):
        return 7 if tag in BYTES else 2, len(values), values
    several = [values] if isinstance(values, int | float) else list(values)
    if tag in RATIONALS:
        parts = [part for value in several for part in (round(value * 1000), 1000)]
        return RATIONAL, len(several), struct.pack(f"{order}{len(parts)}I", *parts)
    kind = (LONG8 if big else LONG) if tag in LONGS else SHORT
    return kind, len(several), struct.pack(f"{order}{len(several)}{LETTERS[kind]}", *several)
