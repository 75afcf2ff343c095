"""The digit that every file shows, and what is right for a file: a Kind."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mnist_batch.pixels import normalising

WIDTH, HEIGHT = 160, 200
INK, PAPER = 34, 238  # multiples of 17, so that four bits hold them exactly
EXACT, LOSSY, RESAMPLED = 0.05, 0.15, 0.3  # how far a picture may be from the upright digit's; turned it is at 0.7

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Row:
    """One row: ``ok``, and the digit that it shows; or another status, and a word of its reason."""

    status: str = "ok"
    shows: str = "4"
    word: str = ""
    polarity: str = "dark_on_light"
    tolerance: float = EXACT


@dataclass(frozen=True)
class Kind:
    """A kind of file: how one is made, and the rows that are right for it."""

    name: str
    make: Callable[[], bytes]
    rows: tuple[Row, ...] = (Row(),)


@cache
def strokes(digit: str = "4") -> NDArray[np.bool_]:
    """Where the ink of a 4 or a 6 lies on a page of 200 x 160: 130 pixels high, unlike itself turned or mirrored."""
    image = Image.new("1", (WIDTH, HEIGHT))
    pen = ImageDraw.Draw(image)
    if digit == "4":
        pen.line([(92, 42), (34, 122), (128, 122)], fill=1, width=15, joint="curve")
        pen.line([(104, 86), (96, 165)], fill=1, width=15)
    else:
        pen.ellipse((44, 96, 120, 164), outline=1, width=14)
        pen.line([(51, 132), (56, 84), (94, 38)], fill=1, width=15, joint="curve")
    return np.asarray(image)


def grey(digit: str = "4", ink: int = INK, paper: int = PAPER) -> Pixels:
    """The page in grey, uint8 (200, 160)."""
    return np.where(strokes(digit), ink, paper).astype(np.uint8)


def colour(digit: str = "4") -> Pixels:
    """The page with blue ink on yellowish paper, uint8 (200, 160, 3), red first."""
    return np.where(strokes(digit)[..., None], (20, 30, 120), (250, 245, 220)).astype(np.uint8)


def inked(digit: str = "4", paper: int = 0) -> Pixels:
    """The page as black ink with alpha: uint8 (200, 160, 2), grey and alpha; what is clear is of grey ``paper``."""
    return np.stack([np.where(strokes(digit), 0, paper), np.where(strokes(digit), 255, 0)], axis=-1).astype(np.uint8)


def turned(pixels: NDArray, orientation: int) -> NDArray:
    """Pixels as they are stored so that this orientation (tag 274) shows them upright."""
    if orientation <= 4:
        upside_down, mirrored = orientation in (3, 4), orientation in (2, 3)
    else:  # the first row is a side of the picture: its left for 5 and 8, its right for 6 and 7
        pixels = pixels.swapaxes(0, 1)
        upside_down, mirrored = orientation in (6, 7), orientation in (7, 8)
    return np.ascontiguousarray(pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1])


def narrow(pixels: NDArray, across: float = 1, down: float = 1) -> NDArray:
    """Pixels at another resolution in one direction, as a fax has them."""
    high, wide = round(pixels.shape[0] * down), round(pixels.shape[1] * across)
    rows = (np.arange(high) + 0.5) * pixels.shape[0] / high
    columns = (np.arange(wide) + 0.5) * pixels.shape[1] / wide
    return np.ascontiguousarray(pixels[rows.astype(int)[:, None], columns.astype(int)])


def pillow(image: Image.Image | NDArray, kind: str, **options: object) -> bytes:
    """An image file as Pillow writes it."""
    buffer = BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def orientation_exif(orientation: int) -> Image.Exif:
    """EXIF that says only how the picture is turned."""
    exif = Image.Exif()
    exif[274] = orientation
    return exif


@cache
def upright(digit: str) -> tuple[Pixels, ...]:
    """What normalising makes of the upright page, float32 (28, 28): ink is looked for in a page made small, so that
    a grey level may move its box by a pixel there."""
    pages = grey(digit), grey(digit, 40, 240), grey(digit, 0, 255)
    return tuple(normalising.normalise(page).astype(np.float32) for page in pages)


def distance(picture: Pixels, digit: str = "4") -> float:
    """How far a normalised picture is from the upright digit's, wherever in it: 0 is the same, 1 all of the ink."""
    moved = [np.roll(picture.astype(np.float32), (down, across), (0, 1)) for down in STEPS for across in STEPS]
    return min(float(np.abs(one - right).sum() / right.sum()) for right in upright(digit) for one in moved)


STEPS = (-1, 0, 1)
