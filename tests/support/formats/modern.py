"""WebP, GIF, AVIF, HEIC and JPEG 2000 as public encoders write them, and all that OpenCV writes."""

import struct
from collections.abc import Iterator
from io import BytesIO

import cv2
import imagecodecs
import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image

from tests.support.formats.drawing import (
    EXACT,
    HEIGHT,
    LOSSY,
    WIDTH,
    Kind,
    Row,
    colour,
    grey,
    orientation_exif,
    pillow,
    strokes,
    turned,
)
from tests.support.formats.png import rgba
from tests.support.formats.tiff_samples import levels

LOSSY_ROW, LIGHT = (Row(tolerance=LOSSY),), (Row(polarity="light_on_dark"),)


def frames(mode: str = "L") -> dict[str, object]:
    """What makes Pillow write a second frame, of another digit."""
    return {"save_all": True, "append_images": [Image.fromarray(grey("6")).convert(mode)], "duration": 100}


def webps_and_gifs() -> Iterator[Kind]:
    """The first frame is the page."""
    black = Image.fromarray(rgba(), "RGBA")
    yield Kind("WebP lossy", lambda: pillow(colour(), "WEBP", quality=90), LOSSY_ROW)
    yield Kind("WebP lossless", lambda: pillow(colour(), "WEBP", lossless=True))
    yield Kind("WebP lossless, ink in alpha", lambda: pillow(black, "WEBP", lossless=True, exact=True))
    yield Kind("WebP lossy, ink in alpha", lambda: pillow(black, "WEBP", quality=90), LOSSY_ROW)
    yield Kind("WebP animated", lambda: pillow(Image.fromarray(colour()), "WEBP", lossless=True, **frames("RGB")))
    for turn in range(2, 9):
        yield Kind(
            f"WebP, orientation {turn}",
            lambda turn=turn: pillow(turned(colour(), turn), "WEBP", lossless=True, exif=orientation_exif(turn)),
        )
        yield Kind(
            f"WebP, ink in alpha, orientation {turn}",
            lambda turn=turn: pillow(
                Image.fromarray(turned(rgba(), turn), "RGBA"),
                "WEBP",
                lossless=True,
                exact=True,
                exif=orientation_exif(turn),
            ),
        )
    yield Kind("GIF", lambda: pillow(grey(), "GIF", interlace=False))
    yield Kind("GIF interlaced", lambda: pillow(grey(), "GIF", interlace=True))
    yield Kind("GIF 87a of 256 colours", lambda: imagecodecs.gif_encode(grey()))
    yield Kind("GIF transparent", lambda: pillow(palette(), "GIF", transparency=0))
    yield Kind("GIF animated", lambda: pillow(Image.fromarray(grey()), "GIF", **frames()))
    yield Kind("GIF of a frame on a part of its page", lambda: part_of_a_page())
    yield Kind("GIF light on dark", lambda: pillow(255 - grey(), "GIF"), LIGHT)


def palette() -> Image.Image:
    """A palette of black and black; the paper is the first."""
    image = Image.fromarray(strokes().astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 0, 0, 1])
    return image


def part_of_a_page() -> bytes:
    """A GIF whose frame covers the strokes and no more; the first colour, which is of none of its paper, is black."""
    left, top, right, bottom = Image.fromarray(strokes()).getbbox()
    image = Image.fromarray((~strokes()[top:bottom, left:right]).astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    data = pillow(image, "GIF", interlace=False, optimize=False)
    at = data.index(b",\0\0\0\0")  # the frame
    page, frame = struct.pack("<HH", WIDTH, HEIGHT), struct.pack("<HH", left, top)
    return data[:6] + page + data[10 : at + 1] + frame + data[at + 5 :]


def heif(image: Image.Image, **options: object) -> bytes:
    """A HEIC file as pillow-heif writes it."""
    return pillow_file(pillow_heif.from_pillow(image), **options)


def pillow_file(file: pillow_heif.HeifFile, **options: object) -> bytes:
    """The bytes of a HEIF file."""
    buffer = BytesIO()
    file.save(buffer, quality=90, **options)
    return buffer.getvalue()


def phones_and_archives() -> Iterator[Kind]:
    """AVIF, HEIC and JPEG 2000."""
    black, page = Image.fromarray(rgba(), "RGBA"), Image.fromarray(colour())
    yield Kind("AVIF", lambda: pillow(page, "AVIF", quality=90, speed=10), LOSSY_ROW)
    yield Kind("AVIF grey", lambda: imagecodecs.avif_encode(grey(), 90, speed=10), LOSSY_ROW)
    yield Kind(
        "AVIF of 10 bits",
        lambda: imagecodecs.avif_encode(colour().astype(np.uint16) * 4, 90, speed=10, bitspersample=10),
        LOSSY_ROW,
    )
    yield Kind("AVIF, ink in alpha", lambda: pillow(black, "AVIF", quality=90, speed=10), LOSSY_ROW)
    yield Kind("AVIF of two frames", lambda: pillow(page, "AVIF", quality=90, speed=10, **frames("RGB")), LOSSY_ROW)
    yield Kind(
        "AVIF, light on dark",
        lambda: pillow(255 - grey(), "AVIF", quality=90, speed=10),
        (Row(tolerance=LOSSY, polarity="light_on_dark"),),
    )
    for turn in (2, 3, 6, 7, 8):
        yield Kind(
            f"AVIF, orientation {turn}",
            lambda turn=turn: pillow(turned(colour(), turn), "AVIF", quality=90, speed=10, exif=orientation_exif(turn)),
            LOSSY_ROW,
        )
        yield Kind(
            f"HEIC, orientation {turn}",
            lambda turn=turn: heif(Image.fromarray(turned(colour(), turn)), exif=orientation_exif(turn).tobytes()),
            LOSSY_ROW,
        )
    yield Kind("HEIC", lambda: heif(page), LOSSY_ROW)
    yield Kind("HEIC grey", lambda: heif(Image.fromarray(grey())), LOSSY_ROW)
    yield Kind("HEIC, ink in alpha", lambda: heif(black), LOSSY_ROW)
    yield Kind(
        "HEIC of 10 bits",
        lambda: pillow_file(pillow_heif.from_bytes("RGB;16", (160, 200), (colour().astype(np.uint16) * 257).tobytes())),
        LOSSY_ROW,
    )
    for name, options in [
        ("JP2", {}),
        ("JP2 lossy", {"irreversible": True, "quality_layers": [20]}),
        ("JPEG 2000 codestream", {"no_jp2": True}),
    ]:
        for of, pixels in [("grey", grey()), ("RGB", colour())]:
            yield Kind(
                f"{name}, {of}",
                lambda options=options, pixels=pixels: pillow(pixels, "JPEG2000", **options),
                LOSSY_ROW if "lossy" in name else (Row(),),
            )
    yield Kind("JP2 of 16 bits", lambda: imagecodecs.jpeg2k_encode(levels(16), codecformat="jp2"))
    yield Kind("JP2 of 12 bits", lambda: imagecodecs.jpeg2k_encode(levels(12), codecformat="jp2", bitspersample=12))
    yield Kind("JP2 of 20 bits", lambda: deep(20))
    yield Kind("JP2 of 26 bits", deep, (Row("undecodable", word="a JPEG 2000 of 26 bits a sample"),))
    yield Kind("JP2 in tiles", lambda: pillow(colour(), "JPEG2000", tile_size=(64, 64)))
    yield Kind("JP2, ink in alpha", lambda: pillow(black, "JPEG2000"))
    yield Kind("JP2, light on dark", lambda: pillow(255 - grey(), "JPEG2000"), LIGHT)


def deep(bits: int = 26) -> bytes:
    """A JP2 of more bits than other formats have."""
    samples = np.where(strokes(), 0.1, 0.9) * (2**bits - 1)
    return imagecodecs.jpeg2k_encode(samples.astype(np.uint32), level=0, codecformat="jp2", bitspersample=bits)


def by_opencv() -> Iterator[Kind]:
    """What OpenCV's encoders write of a page in colour and of one in 16 bits."""
    for suffix in ("tiff", "png", "jpg", "bmp", "ppm", "jp2", "gif", "avif"):
        exact = suffix in ("tiff", "png", "bmp", "ppm")
        row = Row(tolerance=EXACT if exact else LOSSY)
        yield Kind(f"{suffix.upper()} by OpenCV", lambda suffix=suffix: encoded(suffix, colour()[..., ::-1]), (row,))
    for suffix in ("tiff", "png", "pgm"):
        yield Kind(f"{suffix.upper()} of 16 bits by OpenCV", lambda suffix=suffix: encoded(suffix, levels(16)))


def encoded(suffix: str, pixels: NDArray) -> bytes:
    """Pixels, blue first, as OpenCV writes them."""
    written, file = cv2.imencode("." + suffix, pixels)
    assert written
    return bytes(file)


def kinds() -> Iterator[Kind]:
    """All of them."""
    yield from by_opencv()
    yield from webps_and_gifs()
    yield from phones_and_archives()
