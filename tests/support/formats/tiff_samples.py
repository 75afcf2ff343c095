"""TIFF by what a sample is: bits, colours, alpha, types, orientation, resolution."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tests.support.formats.drawing import RESAMPLED, Kind, Row, colour, grey, inked, narrow, pillow, strokes, turned
from tests.support.formats.tiff_compressions import bits, written
from tests.support.formats.tiff_writer import Page, packed, page, tiff

LIGHT = (Row(polarity="light_on_dark"),)
SQUARED = (Row(tolerance=RESAMPLED),)


def levels(count: int, ink: float = 0.1, paper: float = 0.9) -> NDArray[np.uint16]:
    """The page in samples of so many bits: ink and paper as shares of the largest."""
    return np.where(strokes(), round(ink * (2**count - 1)), round(paper * (2**count - 1))).astype(np.uint16)


def depths() -> Iterator[Kind]:
    """Samples of 2 to 16 bits, and values that do not use all of them."""
    for count in (2, 4, 8, 10, 12, 14, 16):
        for order, name in [("<", "little"), (">", "big")]:
            yield Kind(
                f"TIFF {count} bits, {name}-endian",
                lambda count=count, order=order: tiff(page(levels(count), bits=count, order=order), order=order),
            )
        yield Kind(
            f"TIFF {count} bits, MinIsWhite",
            lambda count=count: tiff(page(2**count - 1 - levels(count), {262: 0}, bits=count)),
        )
    yield Kind(
        "TIFF 6 bits, which nobody reads", lambda: tiff(page(levels(6), bits=6)), (Row("undecodable", word="6 bits"),)
    )
    yield Kind("TIFF 4 bits, tiles", lambda: tiff(page(levels(4), bits=4, tile=32)))
    yield Kind("TIFF 4 bits, orientation 6", lambda: tiff(page(turned(levels(4), 6), {274: 6}, bits=4)))
    yield Kind("TIFF 4 bits, 157 pixels wide, strips", lambda: tiff(page(levels(4)[:, :157], bits=4, rows_per_strip=9)))
    yield Kind("TIFF 4 bits, light on dark", lambda: tiff(page(15 - levels(4), bits=4)), LIGHT)
    for count in (10, 12):
        for ink, of in [(0.0, "black ink"), (0.5, "pencil at half contrast"), (0.7, "pencil at 0.3 contrast")]:
            yield Kind(
                f"TIFF 16 bits, values of {count}, {of}", lambda count=count, ink=ink: written(levels(count, ink, 1.0))
            )
    for name, samples in [("grey", grey()), ("RGB", colour())]:
        yield Kind(
            f"TIFF, {name}, of undefined format",
            lambda samples=samples: tiff(page(samples, {339: [4] * (samples.size // grey().size)})),
        )
    yield Kind("TIFF 16 bits, tiles, two planes' worth of tiles", lambda: written(levels(16), tile=(64, 64)))
    yield Kind("TIFF 16 bits, pencil", lambda: written(levels(16, 0.6, 0.95), byteorder=">"))
    yield Kind("TIFF 16 bits, light on dark", lambda: written(levels(16, 0.9, 0.1)), LIGHT)
    for kind in ("float16", "float32", "float64", "uint32", "int16", "int8"):
        word = "float" if "float" in kind else "signed" if kind.startswith("int") else "32"
        top = 1.0 if "float" in kind else 100
        samples = np.where(strokes(), 0, top).astype(kind)
        yield Kind(f"TIFF of {kind}", lambda samples=samples: written(samples), (Row("undecodable", word=word),))


def palette_tags(bits_each: int, top: int = 257) -> list[int]:
    """A colour map: paper for 0, ink for 1, grey for the rest; 16 bits each, or 8 where ``top`` is 1."""
    entries = [(250, 245, 220), (20, 30, 120)] + [(128, 128, 128)] * (2**bits_each - 2)
    return [entry[channel] * top for channel in range(3) for entry in entries]


def colours() -> Iterator[Kind]:
    """Palette, RGB, CMYK, CIELab and YCbCr."""
    index = strokes().astype(np.uint8)
    for count in (1, 2, 4, 8):
        yield Kind(
            f"TIFF palette of {count} bits",
            lambda count=count: tiff(page(index, {262: 3, 320: palette_tags(count)}, bits=count)),
        )
    yield Kind(
        "TIFF palette of 8 bits, colours of 8 bits", lambda: tiff(page(index, {262: 3, 320: palette_tags(8, 1)}))
    )
    yield Kind(
        "TIFF palette, orientation 6", lambda: tiff(page(turned(index, 6), {262: 3, 274: 6, 320: palette_tags(8)}))
    )
    yield Kind(
        "TIFF palette in tiles, orientation 8",
        lambda: tiff(page(turned(index, 8), {262: 3, 274: 8, 320: palette_tags(8)}, tile=64)),
    )
    for count in (8, 16):
        rgb = colour().astype(np.uint16) * (1 if count == 8 else 257)
        for planes in (False, True):
            for tile in (None, 64):
                where = ("planes" if planes else "pixels") + (", tiles" if tile else "")
                yield Kind(
                    f"TIFF RGB of {count} bits in {where}",
                    lambda rgb=rgb, count=count, planes=planes, tile=tile: tiff(
                        page(rgb, bits=count, planes=planes, tile=tile, rows_per_strip=30)
                    ),
                )
        yield Kind(
            f"TIFF RGB of {count} bits in planes, big-endian, strips",
            lambda rgb=rgb, count=count: tiff(
                page(rgb, bits=count, planes=True, rows_per_strip=40, order=">"), order=">"
            ),
        )
    yield Kind(
        "TIFF RGB of 16 bits in planes, LZW",
        lambda: written(
            np.moveaxis(colour().astype(np.uint16) * 257, -1, 0),
            photometric="rgb",
            planarconfig="separate",
            compression="lzw",
        ),
    )
    yield Kind(
        "TIFF RGB of 4 bits, which nobody reads",
        lambda: tiff(page(colour() // 17, bits=4)),
        (Row("undecodable", word="4 bits"),),
    )
    yield Kind("TIFF RGB of 16 bits, values of 10", lambda: tiff(page(colour().astype(np.uint16) * 4, bits=16)))
    cmyk = np.asarray(Image.fromarray(colour()).convert("CMYK"))
    yield Kind("TIFF CMYK", lambda: tiff(page(cmyk, {262: 5})))
    yield Kind("TIFF CMYK in planes", lambda: tiff(page(cmyk, {262: 5}, planes=True)))
    yield Kind(
        "TIFF CMYK, LZW, in tiles", lambda: written(cmyk, photometric="separated", compression="lzw", tile=(64, 64))
    )
    yield Kind("TIFF CMYK, orientation 3", lambda: tiff(page(turned(cmyk, 3), {262: 5, 274: 3})))
    yield Kind("TIFF CIELab", lambda: pillow(cielab(), "TIFF"))
    yield Kind("TIFF YCbCr 1:1", lambda: tiff(page(ycbcr(), {262: 6, 530: [1, 1], 532: [0, 255, 128, 255, 128, 255]})))
    yield Kind("TIFF YCbCr 2:2", lambda: tiff(subsampled()))


def cielab() -> Image.Image:
    """The page in CIELab."""
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(Image.fromarray(colour()), *profiles, outputMode="LAB")


def ycbcr() -> NDArray[np.uint8]:
    """The page in YCbCr."""
    return np.asarray(Image.fromarray(colour()).convert("YCbCr"))


def subsampled() -> Page:
    """YCbCr with a Cb and a Cr for four pixels: each data unit is four Y, Cb, Cr (TIFF 6.0, section 21)."""
    samples = ycbcr()
    luma = samples[..., 0].reshape(100, 2, 80, 2).swapaxes(1, 2).reshape(100, 80, 4)
    units = np.concatenate([luma, samples[::2, ::2, 1:]], axis=2)
    around = page(samples, {262: 6, 530: [2, 2], 532: [0, 255, 128, 255, 128, 255]})
    around.blocks[:] = [packed(units, 8)]
    return around


def alpha() -> Iterator[Kind]:
    """Further samples (tag 338): 0 says nothing of them, 1 is alpha with colours multiplied by it, 2 alpha without."""
    rgb = colour()
    covered = np.where(strokes(), 255, 0).astype(np.uint8)[..., None]
    black_ink = np.concatenate([np.zeros_like(rgb), covered], axis=2)
    opaque, zeros = np.full_like(covered, 255), np.zeros_like(covered)
    for number in (1, 2):
        yield Kind(
            f"TIFF grey + alpha {number}, ink in alpha",
            lambda number=number: tiff(page(inked(), {338: number, 262: 1})),
        )
        yield Kind(
            f"TIFF RGB + alpha {number}, ink in alpha", lambda number=number: tiff(page(black_ink, {338: number}))
        )
        yield Kind(
            f"TIFF RGB + alpha {number}, opaque",
            lambda number=number: tiff(page(np.concatenate([rgb, opaque], axis=2), {338: number})),
        )
    yield Kind(
        "TIFF grey + alpha 2, ink in alpha, LZW in tiles",
        lambda: written(
            inked(), photometric="minisblack", extrasamples=["unassalpha"], compression="lzw", tile=(64, 64)
        ),
    )
    yield Kind(
        "TIFF RGB + alpha 2, ink in alpha, orientation 6", lambda: tiff(page(turned(black_ink, 6), {338: 2, 274: 6}))
    )
    yield Kind(
        "TIFF RGB + alpha 2, ink in alpha, in tiles, orientation 3",
        lambda: tiff(page(turned(black_ink, 3), {338: 2, 274: 3}, tile=48)),
    )
    yield Kind(
        "TIFF RGB + alpha 2 of 16 bits, ink in alpha",
        lambda: tiff(page(black_ink.astype(np.uint16) * 257, {338: 2}, bits=16)),
    )
    yield Kind(
        "TIFF RGB + a sample of 0 that is not alpha", lambda: tiff(page(np.concatenate([rgb, zeros], axis=2), {338: 0}))
    )
    yield Kind(
        "TIFF RGB + a sample of 0 that is not alpha, in tiles",
        lambda: tiff(page(np.concatenate([rgb, zeros], axis=2), {338: 0}, tile=64)),
    )
    yield Kind(
        "TIFF grey + a sample of 0 that is not alpha",
        lambda: tiff(page(np.stack([grey(), np.zeros_like(grey())], axis=2), {338: 0, 262: 1})),
    )
    yield Kind("TIFF by Pillow, RGBA", lambda: pillow(Image.fromarray(black_ink, "RGBA"), "TIFF"))


def orientations() -> Iterator[Kind]:
    """How the picture is turned, in strips and in tiles."""
    for turn in range(1, 9):
        tags = {274: turn}
        yield Kind(
            f"TIFF in strips, orientation {turn}",
            lambda turn=turn, tags=tags: tiff(page(turned(grey(), turn), tags, rows_per_strip=50)),
        )
        yield Kind(
            f"TIFF in tiles, orientation {turn}",
            lambda turn=turn, tags=tags: tiff(page(turned(grey(), turn), tags, tile=48)),
        )
        yield Kind(
            f"TIFF of 16 bits in tiles, orientation {turn}",
            lambda turn=turn, tags=tags: tiff(page(turned(levels(16), turn), tags, bits=16, tile=64)),
        )
        yield Kind(
            f"TIFF of 1 bit in tiles, orientation {turn}",
            lambda turn=turn, tags=tags: tiff(page(turned(bits(), turn), tags, bits=1, tile=64)),
        )
        yield Kind(
            f"TIFF RGB in tiles, orientation {turn}",
            lambda turn=turn: written(
                turned(colour(), turn),
                photometric="rgb",
                tile=(64, 64),
                compression="deflate",
                extratags=[(274, 3, 1, turn, True)],
            ),
        )


def resolutions() -> Iterator[Kind]:
    """Pixels that are not square: as wide as they are high only once the page is stretched."""
    for name, across, down, down_share, unit in [
        ("204x98 dpi, the standard fax", 204, 98, 98 / 204, 2),
        ("204x196 dpi, the fine fax", 204, 196, 196 / 204, 2),
        ("204x391 dpi, the superfine fax", 204, 391, 391 / 204, 2),
        ("8x3.85 lines a mm, in cm", 80.3, 38.5, 38.5 / 80.3, 3),
        ("200x100 dpi", 200, 100, 0.5, 2),
        ("100x200 dpi", 100, 200, 2, 2),
        ("an aspect of 2:1 without unit", 2, 1, 0.5, 1),
    ]:
        tags = {282: across, 283: down, 296: unit}
        for kind in ("G4", "grey"):
            yield Kind(
                f"TIFF {kind}, {name}",
                lambda kind=kind, tags=tags, share=down_share: fax_of(kind, share, tags),
                SQUARED,
            )
    yield Kind(
        "TIFF grey, 204x98 dpi, in tiles",
        lambda: tiff(page(narrow(grey(), down=98 / 204), {282: 204, 283: 98, 296: 2}, tile=64)),
        SQUARED,
    )
    yield Kind(
        "TIFF grey, 204x98 dpi, no unit: inches",
        lambda: tiff(page(narrow(grey(), down=98 / 204), {282: 204, 283: 98})),
        SQUARED,
    )
    yield Kind(
        "TIFF 4 bits, 204x98 dpi",
        lambda: tiff(page(narrow(levels(4), down=98 / 204), {282: 204, 283: 98, 296: 2}, bits=4)),
        SQUARED,
    )
    for turn in (3, 6, 8):  # the resolutions are those of the columns and rows as they are stored
        stored = turned(grey(), turn)
        yield Kind(
            f"TIFF grey, 204x98 dpi, orientation {turn}",
            lambda turn=turn, stored=stored: tiff(
                page(narrow(stored, down=98 / 204), {274: turn, 282: 204, 283: 98, 296: 2})
            ),
            SQUARED,
        )
    yield Kind(
        "BigTIFF grey, 204x98 dpi, big-endian",
        lambda: tiff(page(narrow(grey(), down=98 / 204), {282: 204, 283: 98, 296: 2}), order=">", big=True),
        SQUARED,
    )
    for name, across, down in [
        ("300x300", 300, 300),
        ("1x1", 1, 1),
        ("0x0", 0, 0),
        ("72x1000, which no scanner has", 72, 1000),
    ]:
        yield Kind(
            f"TIFF grey, resolution {name}",
            lambda across=across, down=down: tiff(page(grey(), {282: across, 283: down, 296: 2})),
        )
    yield Kind(
        "TIFF of two faxes of different resolution",
        lambda: tiff(
            page(narrow(grey(), down=98 / 204), {282: 204, 283: 98, 296: 2}),
            page(grey("6"), {282: 204, 283: 204, 296: 2}),
        ),
        (Row(tolerance=RESAMPLED), Row(shows="6")),
    )


def fax_of(kind: str, down: float, tags: dict[int, float]) -> bytes:
    """A page of lower (or higher) resolution down than across, as libtiff's G4 or uncompressed grey."""
    if kind == "grey":
        return tiff(page(narrow(grey(), down=down), tags))
    image = Image.fromarray(narrow(strokes() == 0, down=down))
    return pillow(image, "TIFF", compression="group4", tiffinfo=tags)


def kinds() -> Iterator[Kind]:
    """All of them."""
    for each in (depths, colours, alpha, orientations, resolutions):
        yield from each()
