"""The JPEGs that phones, scanners and cameras write."""

import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np
from PIL import Image

from tests.support.formats.drawing import (
    LOSSY,
    RESAMPLED,
    Kind,
    Row,
    colour,
    grey,
    narrow,
    orientation_exif,
    pillow,
    turned,
)
from tests.support.formats.tiff_samples import levels


def kinds() -> Iterator[Kind]:
    """Baseline and rarer processes, colours, orientation, density, and bytes that follow or lack."""
    lossy, squared = (Row(tolerance=LOSSY),), (Row(tolerance=RESAMPLED),)
    cmyk = Image.fromarray(colour()).convert("CMYK")
    for name, pixels, options in [
        ("grey", grey(), {}),
        ("colour", colour(), {}),
        ("colour, 4:4:4", colour(), {"subsampling": 0}),
        ("colour, RGB", colour(), {"keep_rgb": True}),
        ("progressive", colour(), {"progressive": True}),
        ("with restart markers", colour(), {"restart_marker_rows": 1}),
        ("with a long comment", grey(), {"comment": b"x" * 60_000}),
        ("CMYK", cmyk, {}),
        ("light on dark", 255 - grey(), {}),
    ]:
        row = Row(tolerance=LOSSY, polarity="light_on_dark" if name == "light on dark" else "dark_on_light")
        yield Kind(
            f"JPEG {name}", lambda pixels=pixels, options=options: pillow(pixels, "JPEG", quality=90, **options), (row,)
        )
    yield Kind(
        "JPEG YCCK",
        lambda: imagecodecs.jpeg8_encode(255 - np.asarray(cmyk), 90, colorspace="cmyk", outcolorspace="ycck"),
        lossy,
    )
    yield Kind("JPEG lossless", lambda: imagecodecs.jpeg8_encode(grey(), lossless=True, predictor=1))
    yield Kind(
        "JPEG of 12 bits",
        lambda: imagecodecs.jpeg8_encode(levels(12), 90, bitspersample=12),
        (Row("undecodable", word="12"),),
    )
    yield Kind("JPEG-LS", lambda: imagecodecs.jpegls_encode(grey()), (Row("undecodable", word="JPEG-LS"),))
    for turn in range(1, 9):
        yield Kind(
            f"JPEG grey, orientation {turn}",
            lambda turn=turn: pillow(turned(grey(), turn), "JPEG", quality=90, exif=orientation_exif(turn)),
            lossy,
        )
    yield Kind(
        "JPEG CMYK, orientation 8",
        lambda: pillow(
            Image.fromarray(turned(np.asarray(cmyk), 8), "CMYK"), "JPEG", quality=90, exif=orientation_exif(8)
        ),
        lossy,
    )
    yield Kind(
        "JPEG 204x98 dpi", lambda: pillow(narrow(grey(), down=98 / 204), "JPEG", quality=95, dpi=(204, 98)), squared
    )
    yield Kind(
        "JPEG 100x200 dpi, orientation 6",
        lambda: pillow(
            narrow(turned(grey(), 6), across=0.5), "JPEG", quality=95, dpi=(100, 200), exif=orientation_exif(6)
        ),
        squared,
    )
    yield Kind("JPEG of an aspect of 2:1 without unit", lambda: aspect(2, 1), squared)
    fax = pillow(narrow(grey(), down=98 / 204), "JPEG", quality=95, dpi=(204, 98))
    yield Kind("JPEG 204x98 dpi, after a comment", lambda: fax[:2] + b"\xff\xfe\0\4hi" + fax[2:], squared)
    yield Kind("JPEG 204x98 dpi by EXIF", lambda: by_exif(204, 98), squared)
    yield Kind("JPEG 204x98 dpi by EXIF, without JFIF", lambda: by_exif(204, 98, b""), squared)
    yield Kind("JPEG 300x300 dpi", lambda: pillow(grey(), "JPEG", quality=90, dpi=(300, 300)), lossy)
    yield Kind("JPEG with something after its end", lambda: pillow(grey(), "JPEG", quality=90) + b"\0" * 300, lossy)
    yield Kind(
        "JPEG that lacks only its end marker", lambda: pillow(grey(), "JPEG", quality=90)[:-2], (Row("undecodable"),)
    )
    yield Kind("JPEG whose height follows", height_after, (Row("undecodable", word="DNL"),))
    yield Kind("JPEG cut in its middle", lambda: pillow(grey(), "JPEG", quality=90)[:1500], (Row("undecodable"),))
    yield Kind(
        "JPEG and a second one, MPO",
        lambda: pillow(colour(), "MPO", quality=90, save_all=True, append_images=[Image.fromarray(colour("6"))]),
        lossy,
    )


def aspect(across: int, down: int) -> bytes:
    """A JPEG whose JFIF header (unit 0) says only how wide a pixel is for its height."""
    file = bytearray(pillow(narrow(grey(), down=down / across), "JPEG", quality=95))
    assert file[6:11] == b"JFIF\0"
    file[13:18] = struct.pack(">BHH", 0, across, down)
    return bytes(file)


def by_exif(across: int, down: int, jfif: bytes | None = None) -> bytes:
    """A JPEG whose EXIF gives its density, and whose JFIF header says nothing or is replaced."""
    exif = Image.Exif()
    exif[282], exif[283], exif[296] = float(across), float(down), 2
    file = pillow(narrow(grey(), down=down / across), "JPEG", quality=95, exif=exif)
    assert file[6:18] == b"JFIF\0\1\1\0\0\1\0\1"
    return file if jfif is None else file[:2] + jfif + file[20:]


def height_after() -> bytes:
    """A JPEG of a scanner that did not know how long the page would be: DNL behind the pixels gives its height."""
    file = bytearray(pillow(grey(), "JPEG", quality=90))
    frame = file.index(b"\xff\xc0")
    height = file[frame + 5 : frame + 7]
    file[frame + 5 : frame + 7] = b"\0\0"
    return bytes(file[:-2]) + b"\xff\xdc\0\4" + height + b"\xff\xd9"
