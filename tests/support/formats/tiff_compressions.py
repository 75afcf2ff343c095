"""TIFF by compression, layout and byte order: what is inside the strips, and how they lie in the file."""

import lzma
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tests.support.formats.drawing import LOSSY, Kind, Row, colour, grey, pillow, strokes, turned
from tests.support.formats.tiff_writer import Page, Values, page, tiff

REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
LOSSY_ROW = (Row(tolerance=LOSSY),)


def written(pixels: NDArray, **options: object) -> bytes:
    """A TIFF as tifffile writes it."""
    buffer = BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    return buffer.getvalue()


def bits(digit: str = "4", *, one_is_ink: bool = False) -> NDArray[np.uint8]:
    """The page in one bit a sample."""
    return (strokes(digit) == one_is_ink).astype(np.uint8)


def fax(compression: str, orientation: int = 1, tags: dict[int, int] | None = None) -> bytes:
    """A bilevel TIFF as libtiff writes it."""
    image = Image.fromarray(turned(strokes() == 0, orientation))
    return pillow(image, "TIFF", compression=compression, tiffinfo=tags or {})


def fax_strip(compression: str = "group4", one_is_ink: bool = True) -> bytes:
    """The page as the one strip that libtiff's fax encoders make of it."""
    image = Image.fromarray(bits(one_is_ink=one_is_ink) > 0)
    with tifffile.TiffFile(BytesIO(pillow(image, "TIFF", compression=compression, strip_size=1 << 20))) as file:
        first = file.pages[0]
        assert len(first.dataoffsets) == 1
        file.filehandle.seek(first.dataoffsets[0])
        return file.filehandle.read(first.databytecounts[0])


def fax_page(compression: int, strip: bytes, tags: dict[int, Values] | None = None) -> Page:
    """A bilevel page around a strip that is encoded already; white is 0 unless tag 262 says otherwise."""
    around = page(bits(), {262: 0, **(tags or {})}, bits=1, compression=compression)
    return Page(around.tags, [strip])


def bilevel() -> Iterator[Kind]:
    """One bit a sample."""
    for name, compression in [
        ("RLE", "tiff_ccitt"),
        ("G3", "group3"),
        ("G4", "group4"),
        ("PackBits", "packbits"),
        ("LZW", "tiff_lzw"),
        ("Deflate", "tiff_adobe_deflate"),
    ]:
        yield Kind(f"TIFF 1 bit, {name}, by libtiff", lambda compression=compression: fax(compression))
    yield Kind("TIFF 1 bit, G3 in two dimensions", lambda: fax("group3", tags={292: 1}))
    for orientation in range(2, 9):
        yield Kind(
            f"TIFF 1 bit, G4, orientation {orientation}",
            lambda turn=orientation: fax("group4", turn, tags={274: turn}),
        )
    for order, byte_order in [("<", "little"), (">", "big")]:
        for name, photometric in [("MinIsWhite", 0), ("MinIsBlack", 1)]:
            yield Kind(
                f"TIFF 1 bit, {name}, {byte_order}-endian",
                lambda order=order, photometric=photometric: tiff(
                    page(bits(one_is_ink=photometric == 0), {262: photometric}, bits=1), order=order
                ),
            )
    yield Kind("TIFF 1 bit, no PhotometricInterpretation", lambda: tiff(page(bits(), {262: None}, bits=1)))
    yield Kind("TIFF 1 bit, G4, no PhotometricInterpretation", lambda: tiff(fax_page(4, fax_strip(), tags={262: ()})))
    yield Kind(
        "TIFF 1 bit, no BitsPerSample, no SamplesPerPixel", lambda: tiff(page(bits(), {258: None, 277: None}, bits=1))
    )
    for name, number in [("RLE", 2), ("G3", 3), ("G4", 4)]:
        libtiff = {2: "tiff_ccitt", 3: "group3", 4: "group4"}[number]
        yield Kind(
            f"TIFF 1 bit, {name}, FillOrder 2",
            lambda number=number, libtiff=libtiff: tiff(
                fax_page(number, fax_strip(libtiff).translate(REVERSED), tags={266: 2})
            ),
        )
        yield Kind(
            f"TIFF 1 bit, {name}, big-endian, no RowsPerStrip",
            lambda number=number, libtiff=libtiff: tiff(
                fax_page(number, fax_strip(libtiff), tags={278: ()}), order=">"
            ),
        )
    yield Kind(
        "TIFF 1 bit, FillOrder 2",
        lambda: tiff(page(bits(), {266: 2}, bits=1, compress=lambda strip: strip.translate(REVERSED))),
    )
    yield Kind("TIFF 1 bit, G4, MinIsBlack", lambda: tiff(fax_page(4, fax_strip(one_is_ink=False), tags={262: 1})))
    yield Kind("TIFF 1 bit, G4, no StripByteCounts", lambda: tiff(fax_page(4, fax_strip(), tags={279: ()})))
    yield Kind("TIFF 1 bit, G4 without its end of block", lambda: tiff(fax_page(4, fax_strip()[:-3])))
    yield Kind("TIFF 1 bit, tiles of 64", lambda: tiff(page(bits(), bits=1, tile=64)))
    yield Kind("TIFF 1 bit, 157 pixels wide", lambda: tiff(page(bits()[:, :157], bits=1, rows_per_strip=7)))
    yield Kind("TIFF 1 bit, light on dark", lambda: tiff(page(1 - bits(), bits=1)), (Row(polarity="light_on_dark"),))


LOSSLESS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (1, bytes),
    "LZW": (5, imagecodecs.lzw_encode),
    "Deflate": (8, zlib.compress),
    "Deflate, its old number": (32946, zlib.compress),
    "PackBits": (32773, imagecodecs.packbits_encode),
    "ZSTD": (50000, imagecodecs.zstd_encode),
    "LZMA": (34925, lzma.compress),
}


def lossless() -> Iterator[Kind]:
    """Compressions that keep every sample, in every layout."""
    for name, (number, compress) in LOSSLESS.items():
        options = {"compression": number, "compress": compress}
        if name == "PackBits":  # each row by itself
            options["compress"] = lambda strip: b"".join(
                imagecodecs.packbits_encode(strip[at : at + WIDE]) for at in range(0, len(strip), WIDE)
            )
        yield Kind(f"TIFF, {name}", lambda options=options: tiff(page(grey(), **options)))
        yield Kind(
            f"TIFF, {name}, strips of 30 rows, big-endian",
            lambda options=options: tiff(page(grey(), rows_per_strip=30, **options), order=">"),
        )
        yield Kind(f"TIFF, {name}, MinIsWhite", lambda options=options: tiff(page(255 - grey(), {262: 0}, **options)))
        if name == "PackBits":
            continue
        yield Kind(f"TIFF, {name}, RGB in tiles", lambda options=options: tiff(page(colour(), tile=48, **options)))
        yield Kind(f"TIFF, {name}, RGB in planes", lambda options=options: tiff(page(colour(), planes=True, **options)))
    for name in ("lzw", "deflate", "zstd"):
        for kind, pixels in [("grey", grey()), ("16 bits", grey().astype(np.uint16) * 257), ("RGB", colour())]:
            yield Kind(
                f"TIFF, {name}, predictor 2, {kind}",
                lambda name=name, pixels=pixels: written(
                    pixels,
                    compression=name,
                    predictor=True,
                    photometric="rgb" if pixels.ndim == 3 else "minisblack",
                    byteorder=">" if name == "lzw" else "<",
                ),
            )


WIDE = grey().shape[1]


def lossy() -> Iterator[Kind]:
    """JPEG inside a TIFF, new and old."""
    yield Kind("TIFF, JPEG, grey", lambda: written(grey(), compression="jpeg", rowsperstrip=64), LOSSY_ROW)
    yield Kind(
        "TIFF, JPEG, YCbCr in tiles",
        lambda: written(colour(), compression="jpeg", photometric="ycbcr", tile=(64, 64)),
        LOSSY_ROW,
    )
    yield Kind(
        "TIFF, JPEG, YCbCr 2:2",
        lambda: written(colour(), compression="jpeg", photometric="ycbcr", subsampling=(2, 2)),
        LOSSY_ROW,
    )
    yield Kind(
        "TIFF, JPEG, RGB",
        lambda: written(colour(), compression="jpeg", photometric="rgb", compressionargs={"outcolorspace": "rgb"}),
        LOSSY_ROW,
    )
    yield Kind("TIFF, JPEG by libtiff", lambda: pillow(grey(), "TIFF", compression="jpeg", quality=90), LOSSY_ROW)
    yield Kind(
        "TIFF, JPEG, orientation 6",
        lambda: written(turned(colour(), 6), compression="jpeg", photometric="ycbcr", extratags=[(274, 3, 1, 6, True)]),
        LOSSY_ROW,
    )
    yield Kind("TIFF, JPEG of before 1995", lambda: old_jpeg(colour()), LOSSY_ROW)
    yield Kind("TIFF, JPEG of before 1995, grey", lambda: old_jpeg(grey()), (Row("undecodable", word="JPEG"),))


def old_jpeg(pixels: NDArray) -> bytes:
    """Compression 6, as TIFF 6.0 had it: a whole JPEG, which its tags 513 and 514 point to, and a strip inside it."""
    jpeg = pillow(pixels, "JPEG", quality=95, subsampling=0)
    scan = jpeg.index(b"\xff\xda")
    start = scan + 2 + int.from_bytes(jpeg[scan + 2 : scan + 4], "big")
    around = page(pixels, {262: 6 if pixels.ndim == 3 else 1, 512: 1, 513: 8, 514: len(jpeg)}, compression=6)
    if pixels.ndim == 3:
        around.tags |= {530: [1, 1]}
    around.tags |= {273: 8 + start, 279: len(jpeg) - start}
    return tiff(Page(around.tags, [jpeg]))


def refused() -> Iterator[Kind]:
    """Compressions that no decoder at hand reads: refused, by name."""
    cases: dict[str, tuple[int, Callable[[NDArray], bytes], str]] = {
        "JPEG 2000": (34712, lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k"), "JPEG 2000"),
        "JPEG 2000 of Aperio": (
            33005,
            lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k"),
            "JPEG 2000",
        ),
        "JPEG XL": (50002, imagecodecs.jpegxl_encode, "JPEG XL"),
        "JPEG XL of DNG": (52546, imagecodecs.jpegxl_encode, "JPEG XL"),
        "JPEG XR": (22610, imagecodecs.jpegxr_encode, "JPEG XR"),
        "JPEG XR of Microsoft": (34934, imagecodecs.jpegxr_encode, "JPEG XR"),
        "PNG": (34933, imagecodecs.png_encode, "PNG"),
        "WebP": (50001, lambda pixels: imagecodecs.webp_encode(pixels, lossless=True), "WebP"),
        "LERC": (34887, imagecodecs.lerc_encode, "LERC"),
        "JBIG": (34661, lambda _: bytes(64), "JBIG"),
        "a number that nobody has": (61234, lambda _: bytes(64), "61234"),
    }
    for name, (number, encode, word) in cases.items():
        pixels = colour() if name == "WebP" else grey()
        yield Kind(
            f"TIFF, {name}",
            lambda number=number, encode=encode, pixels=pixels: tiff(
                Page(page(pixels, compression=number).tags, [bytes(encode(pixels))])
            ),
            (Row("undecodable", word=word),),
        )


def big() -> Iterator[Kind]:
    """BigTIFF: offsets of 64 bits."""
    for order, name in [("<", "little"), (">", "big")]:
        yield Kind(f"BigTIFF, {name}-endian", lambda order=order: tiff(page(grey()), order=order, big=True))
        yield Kind(
            f"BigTIFF, {name}-endian, 16 bits, LZW, tiles",
            lambda order=order: written(
                grey().astype(np.uint16) * 257, bigtiff=True, byteorder=order, compression="lzw", tile=(64, 48)
            ),
        )
        yield Kind(
            f"BigTIFF, {name}-endian, two pages",
            lambda order=order: tiff(page(grey()), page(colour("6")), order=order, big=True),
            (Row(), Row(shows="6")),
        )
        yield Kind(
            f"BigTIFF, {name}-endian, G4, FillOrder 2",
            lambda order=order: tiff(
                fax_page(4, fax_strip().translate(REVERSED), tags={266: 2}), order=order, big=True
            ),
        )
        yield Kind(
            f"BigTIFF, {name}-endian, tiles, orientation 6",
            lambda order=order: tiff(page(turned(grey(), 6), {274: 6}, tile=48), order=order, big=True),
        )


def kinds() -> Iterator[Kind]:
    """All of them."""
    for each in (bilevel, lossless, lossy, refused, big):
        yield from each()
