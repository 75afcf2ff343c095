"""What is written on a strip: its ink without the print, which is known, and with the strokes that cross the print."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.strips import FRAMED, RINGS, Strip
from mnist_batch.pixels.opencv import cv2

REACH = 4  # pixels from where it should be that the print of a strip is looked for
USUAL, OF_FRAMES = 0.6, 0.85  # ranks, of the pixels of a class of print, whose darkness is what the print explains
INKED = 0.3  # of the strongest ink of a cell; weaker is no ink
LEAST = 12  # grey levels between paper and ink
STRONGEST = 0.97  # rank, in a cell, of the strongest ink
BRIDGED = 9  # pixels; print as wide is bridged where strokes meet it on both sides

Grey = NDArray[np.uint8]

_NEXT = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class Writing:
    """The writing on a strip of a page.

    ``dark``, uint8 (H, W), is how much darker than its paper each pixel is, and ``left`` the part of it that the print
    does not explain. ``strongest`` is the strength of the ink of each cell.
    """

    strip: Strip
    dark: Grey
    left: Grey
    noise: float
    strongest: NDArray[np.int64]

    @classmethod
    def of(cls, strip: Strip, dark: Grey) -> "Writing":
        """Take the print from a strip; ``dark`` is its darkness."""
        dark = _moved(dark, *_shift(strip, dark))
        left = cv2.subtract(dark, _explained(strip, dark))
        smooth = cv2.blur(left, (3, 3))
        strongest = [_ranked(smooth[top:foot, x:to], STRONGEST) for x, top, to, foot in strip.boxes.tolist()]
        return cls(strip, dark, left, _noise(dark), np.array(strongest))

    def ink(self, pen: float) -> Grey:
        """Where ink is, uint8 (H, W) of 0 and 1; ``pen`` is how strong the page's ink usually is."""
        least = max(LEAST, 3 * self.noise)
        strong = np.where(self.strongest >= 0.25 * pen, self.strongest, pen)
        table = np.full(256, max(least, INKED * pen), np.uint8)
        table[: len(strong)] = np.clip(INKED * strong, least, 255)
        threshold = cv2.LUT(self.strip.owners, table)
        ink, dark = (_above(each, threshold) for each in (self.left, self.dark))
        on_print = _above(self.strip.classes, RINGS)
        hidden = cv2.bitwise_and(cv2.subtract(dark, ink), on_print)
        return np.asarray(cv2.bitwise_or(ink, _bridges(ink, hidden)), np.uint8)


def _above(values: Grey, limit: Grey | int) -> Grey:
    return np.asarray(cv2.bitwise_and(cv2.compare(values, limit, cv2.CMP_GT), 1), np.uint8)


def _ranked(values: Grey, share: float) -> int:
    if not values.size:
        return 0
    return int(cv2.calcHist([values], [0], None, [256], [0, 256]).cumsum().searchsorted(share * values.size, "right"))


def _noise(dark: Grey) -> float:
    """The noise of the paper in grey levels, from how much pixels beside each other differ."""
    steps = cv2.absdiff(dark[::2, 1::2], dark[::2, :-1:2][:, : dark[::2, 1::2].shape[1]])
    return min(1.05 * _ranked(np.ascontiguousarray(steps), 0.5), 20.0)


def _shift(strip: Strip, dark: Grey) -> tuple[int, int]:
    """By how many pixels, (across, down), the print lies beside where it should."""
    near = (strip.classes > 0).view(np.uint8)
    capped = cv2.min(dark, 255 * cv2.dilate(near, np.ones((2 * REACH - 3, 2 * REACH - 3), np.uint8)))
    return _best(strip.columns, capped.mean(axis=0, dtype=np.float32)), _best(
        strip.rows, capped.mean(axis=1, dtype=np.float32)
    )


def _best(printed: NDArray[np.float32], found: NDArray[np.float32]) -> int:
    """How much later the profile of a page is than that of the form."""
    count = len(printed)
    if count < 4 * REACH or printed.max() < 3:
        return 0
    kernel = np.array([-0.5, 0, 1, 0, -0.5], np.float32)
    sharp, other = (np.maximum(np.convolve(each, kernel, "same"), 0) for each in (printed, found))
    inner = slice(REACH, count - REACH)
    scores = [
        float(sharp[inner] @ other[REACH + off : count - REACH + off]) - 1e-3 * abs(off)
        for off in range(-REACH, REACH + 1)
    ]
    best = int(np.argmax(scores))
    return best - REACH if scores[best] > 1.1 * scores[REACH] else 0


def _moved(dark: Grey, across: int, down: int) -> Grey:
    if not (across or down):
        return dark
    height, width = dark.shape
    moved = cv2.copyMakeBorder(dark, REACH, REACH, REACH, REACH, cv2.BORDER_CONSTANT, value=0)
    return np.ascontiguousarray(moved[REACH + down : REACH + down + height, REACH + across : REACH + across + width])


def _explained(strip: Strip, dark: Grey) -> Grey:
    """How dark the print is, as the pixels of each of its classes usually are."""
    flat, darkest, table = dark.ravel(), cv2.dilate(dark, _NEXT).ravel(), np.zeros(256, np.uint8)
    for number, places in enumerate(strip.samples, 1):
        if len(places):
            values = np.sort((flat if number <= RINGS else darkest)[places])
            table[number] = values[int((OF_FRAMES if number > FRAMED else USUAL) * len(values))]
    for number in range(RINGS, 0, -1):
        table[number] = min(table[number], table[RINGS + 1 :].max())
    return np.asarray(cv2.LUT(strip.classes, table), np.uint8)


def _lines_in_all_directions() -> list[Grey]:
    kernels, half = [], BRIDGED // 2
    for degrees in range(0, 180, 30):
        kernel = np.zeros((BRIDGED, BRIDGED), np.uint8)
        x, y = half * np.cos(np.radians(degrees)), half * np.sin(np.radians(degrees))
        cv2.line(kernel, (round(half - x), round(half - y)), (round(half + x), round(half + y)), 1)
        kernels.append(kernel)
    return kernels


_DIRECTIONS = _lines_in_all_directions()


def _bridges(ink: Grey, hidden: Grey) -> Grey:
    """Hidden ink between strokes that meet it on both sides."""
    bridges = np.zeros_like(ink)
    meeting = cv2.bitwise_and(cv2.dilate(ink, _NEXT), hidden)
    if cv2.countNonZero(meeting) < 4:
        return bridges
    x, y, wide, high = cv2.boundingRect(meeting)
    rows = slice(max(0, y - BRIDGED), y + high + BRIDGED)
    columns = slice(max(0, x - BRIDGED), x + wide + BRIDGED)
    part, filled = np.ascontiguousarray(ink[rows, columns]), bridges[rows, columns]
    for kernel in _DIRECTIONS:
        closed = cv2.morphologyEx(part, cv2.MORPH_CLOSE, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        np.bitwise_or(filled, closed, out=filled)
    np.bitwise_and(filled, hidden[rows, columns], out=filled)
    return bridges
