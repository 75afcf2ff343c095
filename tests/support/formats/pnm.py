"""PBM, PGM and PPM by hand, in words and in bytes, of every maximum."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tests.support.formats.drawing import RESAMPLED, Kind, Row, grey, strokes
from tests.support.formats.tiff_writer import packed

FOUR, SIX = Row(), Row(shows="6")
LIGHT = (Row(polarity="light_on_dark"),)


def pnm(number: int, samples: NDArray, maximum: int | None = None, comment: str = "") -> bytes:
    """A PNM: P1 to P3 in words, P4 to P6 in bytes."""
    head = f"P{number}\n{comment}{samples.shape[1]} {samples.shape[0]}\n" + (f"{maximum}\n" if maximum else "")
    if number <= 3:
        rows = samples.reshape(len(samples), -1)
        return (head + "\n".join(" ".join(map(str, row)) for row in rows.tolist()) + "\n").encode()
    bits = 1 if number == 4 else 8 if (maximum or 0) < 256 else 16
    return head.encode() + packed(samples, bits, ">")


def shares(maximum: int, three: bool = False) -> NDArray[np.uint16]:
    """The page in samples from 0 to a maximum."""
    page = np.where(strokes(), maximum // 10, maximum).astype(np.uint16)
    return np.stack([page] * 3, axis=-1) if three else page


def kinds() -> Iterator[Kind]:
    """Every number and maximum, comments, several images in one file."""
    ink = strokes().astype(np.uint8)
    for number in (1, 4):
        yield Kind(f"PBM P{number}", lambda number=number: pnm(number, ink))
        yield Kind(
            f"PBM P{number} with a comment, 157 wide",
            lambda number=number: pnm(number, ink[:, :157], comment="# from a scanner\n"),
        )
    yield Kind(
        "PBM P1 without spaces",
        lambda: b"P1\n160 200\n" + b"\n".join(bytes(row + 48) for row in ink.reshape(400, 80)) + b"\n",
    )
    yield Kind("PBM P1 that ends with its last pixel", lambda: pnm(1, ink).rstrip())
    yield Kind("PGM P2 that ends with its last pixel", lambda: pnm(2, shares(255), 255).rstrip())
    for maximum in (1, 7, 15, 100, 255, 1023, 4095, 65535):
        for number in (2, 5, 3, 6):
            yield Kind(
                f"{'PGM' if number in (2, 5) else 'PPM'} P{number}, maximum {maximum}",
                lambda number=number, maximum=maximum: pnm(number, shares(maximum, number in (3, 6)), maximum),
            )
    yield Kind(
        "PGM P5 with comments in its header", lambda: b"P5 # a\n#b\n160 # c\n200\n# d\n15\n" + packed(shares(15), 8)
    )
    yield Kind("PGM P5, pencil of maximum 15", lambda: pnm(5, np.where(strokes(), 9, 14), 15))
    yield Kind("PGM P5, light on dark", lambda: pnm(5, 7 - shares(7), 7), LIGHT)
    for number, maximum in [(5, 255), (5, 7), (5, 65535), (6, 255), (4, None)]:
        yield Kind(
            f"P{number}, three images, maximum {maximum}",
            lambda number=number, maximum=maximum: b"".join(image_of(number, digit, maximum) for digit in "464"),
            (FOUR, SIX, FOUR),
        )
    yield Kind(
        "P5, two images of different size and maximum",
        lambda: pnm(5, grey(), 255) + pnm(5, np.pad(grey("6").astype(np.uint16) * 4, 9, mode="edge"), 1023),
        (FOUR, Row(shows="6", tolerance=RESAMPLED)),
    )


def image_of(number: int, digit: str, maximum: int | None) -> bytes:
    """One image of a file of several."""
    if number == 4:
        return pnm(4, strokes(digit).astype(np.uint8))
    samples = np.where(strokes(digit), 0, maximum)
    return pnm(number, np.stack([samples] * 3, axis=-1) if number == 6 else samples, maximum)
