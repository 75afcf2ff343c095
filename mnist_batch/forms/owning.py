"""Whose ink is whose: the pieces of ink on a strip go to the cells where most of their mass lies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.crossing import Extent, crossing
from mnist_batch.forms.strips import OTHERS, Strip
from mnist_batch.forms.writing import Writing
from mnist_batch.pixels.opencv import cv2
from mnist_batch.statuses import Status

SPLIT = 0.28  # of a piece's mass in a second cell, from which it is of two digits
HIGH = 0.5  # of a cell's height that such a piece reaches over in both
INSIDE = 0.3  # of a piece's mass that lies in its cell or close around
BESIDE, THIN = 0.8, 2.5  # of a piece's mass, and pixels: of the remains of print beside it
SPECK = 0.09  # of a cell's height; a smaller piece of ink is no part of a digit, unless it is large beside the others
SMALLEST = 0.18  # of a cell's height; ink that is smaller, in both directions, is no digit
PALE = 0.25  # of the page's pen; weaker ink shows through from the back

Grey = NDArray[np.uint8]
Places = NDArray[np.int64]

_NEXT = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class Piece:
    """What is in a cell: its status, and its pictures if it is to be read."""

    status: Status
    pictures: tuple[Grey, ...] = ()


@dataclass(frozen=True, eq=False)
class _Ink:
    """The inked pixels of a strip: their places, components and owners."""

    y: Places
    x: Places
    label: Places
    owner: Places


def pieces_of(writing: Writing, pen: float) -> list[Piece]:
    """What is in each cell of a strip; ``pen`` is the strength of the page's ink."""
    strip, blank = writing.strip, Piece(Status.BLANK)
    if pen < 1:
        return [blank] * len(strip.positions)
    mask = writing.ink(pen)
    ink = _owned(writing, mask)
    found = [blank] * len(strip.positions)
    order = np.argsort(ink.owner, kind="stable")
    ends = np.searchsorted(ink.owner[order], np.arange(len(found) + 1))
    for cell in range(len(found)):
        chosen = order[ends[cell] : ends[cell + 1]]
        if len(chosen) >= 3:
            found[cell] = _piece(
                writing, mask, _Ink(*(each[chosen] for each in (ink.y, ink.x, ink.label, ink.owner))), cell, pen
            )
    return found


def _owned(writing: Writing, mask: Grey) -> _Ink:
    """The ink with the cell that each pixel belongs to; -1 for none."""
    strip, cells = writing.strip, len(writing.strip.positions)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    places = np.flatnonzero(mask)
    label = labels.ravel()[places].astype(np.int64)
    nearest = strip.owners.ravel()[places].astype(np.int64)
    nearest[nearest == OTHERS] = cells
    mass = np.bincount(label * (cells + 1) + nearest, minlength=count * (cells + 1)).reshape(count, cells + 1)
    total = np.maximum(mass.sum(axis=1), 1)
    inside = np.bincount(label, strip.near.ravel()[places], count) / total
    beside_print = np.bincount(label, strip.classes.ravel()[places] > 0, count) / total
    thickness = stats[:, cv2.CC_STAT_AREA] / stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1)
    remains = (beside_print >= BESIDE) & (thickness <= THIN)
    owner = np.where((mass.argmax(axis=1) == cells) | (inside < INSIDE) | remains, -1, mass.argmax(axis=1))
    owner_of = owner[label]
    y, x = np.divmod(places, mask.shape[1])
    if cells > 1:
        split = _of_two(mass[:, :cells], label, nearest, y, strip)
        if split.any():
            owner_of = np.where(split[label], np.where(nearest == cells, -1, nearest), owner_of)
    return _Ink(y, x, label, owner_of)


def _of_two(mass: Places, label: Places, nearest: Places, y: Places, strip: Strip) -> NDArray[np.bool_]:
    """Which components are digits of two cells that touch: much of each lies in either cell, and stands high there."""
    first, second = np.argsort(mass, axis=1)[:, :-3:-1].T
    large = np.take_along_axis(mass, second[:, None], 1)[:, 0] >= SPLIT * np.maximum(mass.sum(axis=1), 1)
    for component in np.flatnonzero(large):
        own = label == component
        for cell in (first[component], second[component]):
            rows = y[own & (nearest == cell)]
            large[component] &= np.ptp(rows) >= HIGH * np.ptp(strip.boxes[cell, 1::2])
    large[0] = False
    return np.asarray(large)


def _piece(writing: Writing, mask: Grey, ink: _Ink, cell: int, pen: float) -> Piece:
    box = writing.strip.boxes[cell]
    size = Extent(*(box[2:] - box[:2]).astype(float))
    ink = _without_specks(ink, size)
    if len(ink.x) < 3 or max(np.ptp(ink.x) + 1, np.ptp(ink.y) + 1) < SMALLEST * size.height:
        return Piece(Status.BLANK)
    strength = np.sort(writing.left[ink.y, ink.x])
    if strength[int(0.9 * len(strength))] < PALE * pen:
        return Piece(Status.BLANK)
    crossed = crossing(ink.x, ink.y, size)
    if crossed.certain:
        return Piece(Status.CROSSED)
    picture = _picture(writing, mask, ink, size)
    return Piece(Status.OK, (picture, np.full_like(picture, 255)) if crossed.doubtful else (picture,))


def _without_specks(ink: _Ink, size: Extent) -> _Ink:
    names, at, areas = np.unique(ink.label, return_inverse=True, return_counts=True)
    if len(names) == 1:
        return ink
    least = max(3.0, min((SPECK * size.height) ** 2 / 2, 0.06 * areas.max()))
    keep = (areas >= least)[at]
    return _Ink(ink.y[keep], ink.x[keep], ink.label[keep], ink.owner[keep])


def _picture(writing: Writing, mask: Grey, ink: _Ink, size: Extent) -> Grey:
    """The ink of one cell on even paper, with room around it."""
    left, top, right, foot = int(ink.x.min()), int(ink.y.min()), int(ink.x.max()) + 1, int(ink.y.max()) + 1
    room = 4 + int(0.15 * max(right - left, foot - top))
    height, width = mask.shape
    rows, columns = slice(max(0, top - 2), min(height, foot + 2)), slice(max(0, left - 2), min(width, right + 2))
    own = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    own[ink.y - rows.start, ink.x - columns.start] = 1
    others = cv2.subtract(mask[rows, columns], own)
    soft = cv2.min(writing.left[rows, columns], 255 * cv2.subtract(cv2.dilate(own, _NEXT), others))
    soft = np.where(own > 0, cv2.max(soft, writing.dark[rows, columns]), soft)
    soft[soft < 0.5 * writing.noise + 0.08 * float(soft.max())] = 0
    least = int(0.5 * size.height)
    wide, high = (max(least, side + 2 * room) for side in (own.shape[1], own.shape[0]))
    picture = np.full((high, wide), 255, np.uint8)
    y, x = (high - own.shape[0]) // 2, (wide - own.shape[1]) // 2
    picture[y : y + own.shape[0], x : x + own.shape[1]] = 255 - soft
    return picture
