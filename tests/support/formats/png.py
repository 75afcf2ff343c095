"""PNG by hand (ISO/IEC 15948), and APNG."""

import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.formats.drawing import (
    RESAMPLED,
    Kind,
    Row,
    colour,
    grey,
    inked,
    narrow,
    orientation_exif,
    pillow,
    strokes,
    turned,
)
from tests.support.formats.tiff_samples import levels
from tests.support.formats.tiff_writer import packed

ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
Chunks = tuple[tuple[bytes, bytes], ...]


def png(
    samples: NDArray,
    colour_type: int,
    bits: int = 8,
    before: Chunks = (),
    after: Chunks = (),
    interlaced: bool = False,
    piece: int = 1 << 20,
) -> bytes:
    """A PNG with these chunks before and after its pixels, which come in pieces of so many bytes."""
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    raw = b"".join(filtered(samples[top::down, left::across], bits) for top, left, down, across in passes)
    packed_pixels = zlib.compress(raw)
    pieces = [(b"IDAT", packed_pixels[at : at + piece]) for at in range(0, len(packed_pixels), piece)]
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], bits, colour_type, 0, 0, interlaced)
    chunks = [(b"IHDR", header), *before, *pieces, *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def filtered(samples: NDArray, bits: int) -> bytes:
    """Rows, each after the number of its filter: none."""
    rows = packed(samples, bits, ">")
    size = len(rows) // len(samples)
    return b"".join(b"\0" + rows[at : at + size] for at in range(0, len(rows), size))


def exif(orientation: int) -> bytes:
    """EXIF of one tag, the orientation."""
    return orientation_exif(orientation).tobytes().removeprefix(b"Exif\0\0")


def kinds() -> Iterator[Kind]:
    """Every colour type and depth, transparency, interlacing, orientation, resolution."""
    ink = strokes().astype(np.uint8)
    palette = (b"PLTE", bytes([250, 245, 220, 20, 30, 120]))
    for count in (1, 2, 4, 8, 16):
        for interlaced in (False, True):
            how = ", interlaced" if interlaced else ""
            yield Kind(
                f"PNG grey of {count} bits{how}",
                lambda count=count, interlaced=interlaced: png(levels(count), 0, count, interlaced=interlaced),
            )
            if count < 16:
                yield Kind(
                    f"PNG palette of {count} bits{how}",
                    lambda count=count, interlaced=interlaced: png(ink, 3, count, (palette,), interlaced=interlaced),
                )
            if count < 8:
                continue
            scale = 1 if count == 8 else 257
            for number, name, samples in [(2, "RGB", colour()), (4, "grey + alpha", inked()), (6, "RGBA", rgba())]:
                wide = samples.astype(np.uint16) * scale
                yield Kind(
                    f"PNG {name} of {count} bits{how}",
                    lambda wide=wide, number=number, count=count, interlaced=interlaced: png(
                        wide, number, count, interlaced=interlaced
                    ),
                )
    for count in (10, 12):
        for share, of in [(0.0, "black ink"), (0.5, "pencil at half contrast"), (0.7, "pencil at 0.3 contrast")]:
            yield Kind(
                f"PNG grey of 16 bits, values of {count}, {of}",
                lambda count=count, share=share: png(levels(count, share, 1.0), 0, 16, ((b"sBIT", bytes([count])),)),
            )
    yield Kind("PNG RGB of 16 bits, values of 10", lambda: png(colour().astype(np.uint16) * 4, 2, 16))
    yield Kind("PNG grey, light on dark", lambda: png(255 - grey(), 0), (Row(polarity="light_on_dark"),))
    # What is clear shows white paper. Here the clear colour is that of the paper.
    yield Kind("PNG grey, its paper clear (tRNS)", lambda: png(grey(paper=90), 0, 8, ((b"tRNS", b"\0\x5a"),)))
    yield Kind(
        "PNG grey of 4 bits, its paper clear (tRNS)",
        lambda: png(np.where(strokes(), 0, 5), 0, 4, ((b"tRNS", b"\0\x05"),)),
    )
    yield Kind(
        "PNG grey of 16 bits, its paper clear (tRNS)",
        lambda: png(np.where(strokes(), 0, 25_000).astype(np.uint16), 0, 16, ((b"tRNS", struct.pack(">H", 25_000)),)),
    )
    yield Kind(
        "PNG RGB, its paper clear (tRNS)",
        lambda: png(
            np.where(strokes()[..., None], 0, (0, 60, 0)).astype(np.uint8),
            2,
            8,
            ((b"tRNS", bytes([0, 0, 0, 60, 0, 0])),),
        ),
    )
    black = (b"PLTE", bytes(6))
    yield Kind("PNG palette, all black, its paper clear (tRNS)", lambda: png(ink, 3, 8, (black, (b"tRNS", b"\0\xff"))))
    yield Kind("PNG grey + alpha on a black ground (bKGD)", lambda: png(inked(), 4, 8, ((b"bKGD", b"\0\0"),)))
    for turn in range(1, 9):
        chunk = (b"eXIf", exif(turn))
        yield Kind(
            f"PNG grey, orientation {turn}", lambda turn=turn, chunk=chunk: png(turned(grey(), turn), 0, 8, (chunk,))
        )
        yield Kind(
            f"PNG RGBA, orientation {turn}", lambda turn=turn, chunk=chunk: png(turned(rgba(), turn), 6, 8, (chunk,))
        )
    yield Kind(
        "PNG grey, orientation 6 after its pixels", lambda: png(turned(grey(), 6), 0, 8, after=((b"eXIf", exif(6)),))
    )
    yield Kind(
        "PNG in many pieces, with text and something after its end",
        lambda: (
            png(grey(), 0, 8, ((b"gAMA", struct.pack(">I", 45_455)), (b"tEXt", b"Software\0scanner")), piece=50)
            + b"trailing"
        ),
    )
    for name, share, across, down, unit in [
        ("204x98 dpi", 98 / 204, 8031, 3858, 1),
        ("2:1 without unit", 0.5, 2, 1, 0),
        ("100x200 dpi", 2, 3937, 7874, 1),
    ]:
        chunk = (b"pHYs", struct.pack(">IIB", across, down, unit))
        yield Kind(
            f"PNG grey, {name}",
            lambda share=share, chunk=chunk: png(narrow(grey(), down=share), 0, 8, (chunk,)),
            (Row(tolerance=RESAMPLED),),
        )
        yield Kind(
            f"PNG 1 bit, {name}",
            lambda share=share, chunk=chunk: png(narrow(levels(1), down=share), 0, 1, (chunk,)),
            (Row(tolerance=RESAMPLED),),
        )
        yield Kind(
            f"PNG RGBA, {name}",
            lambda share=share, chunk=chunk: png(narrow(rgba(), down=share), 6, 8, (chunk,)),
            (Row(tolerance=RESAMPLED),),
        )
    yield Kind("PNG grey, 300x300 dpi", lambda: png(grey(), 0, 8, ((b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),)))
    yield Kind(
        "APNG", lambda: pillow(grey(), "PNG", save_all=True, append_images=[Image.fromarray(grey("6"))], duration=100)
    )
    yield Kind("PNG of 16 bits by libpng", lambda: imagecodecs.png_encode(grey().astype(np.uint16) * 257))


def rgba() -> NDArray[np.uint8]:
    """The page as black ink on nothing, RGBA."""
    return np.stack([np.zeros_like(grey())] * 3 + [inked()[..., 1]], axis=-1)
