"""Take what is written in the cells out of the picture of a page, so that it is not taken for print of the form."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.form import Box
from mnist_batch.pixels.opencv import cv2

Grey = NDArray[np.uint8]

RIM = 0.1  # of a cell, by its shorter side, where its lines and ticks are
# Of a cell's height, or of its width and height: what is printed in cells is smaller, and a printed dash flatter.
TALL, WIDE, FLAT = 0.35, 0.4, 0.15
FAINT = 18  # levels darker than the paper; less is noise
LEAST_BORDERS = 3  # between cells, to tell what is printed at them
RIM_OF_INK = 2  # pixels around a stroke that are a little darker than paper


def without_writing(picture: Grey, fields: Iterable[Sequence[Box]]) -> tuple[Grey, int]:
    """A page, uint8 (H, W), with paper for what is written in the cells of fields, and in how many cells it was.

    The lines around cells stay, and what is printed small in a cell in which nothing is written.
    """
    erased, count = picture.copy(), 0
    for field in fields:
        before = count
        for cell in field:
            inside = _inside(erased, cell)
            if inside.size and (ink := _written(inside, cell)) is not None:
                inside[ink] = np.median(inside[~ink]) if not ink.all() else np.percentile(inside, 95)
                count += 1
        if count > before:
            _even_borders(erased, field)
    return erased, count


def _even_borders(picture: Grey, field: Sequence[Box]) -> None:
    """Take writing off the borders between cells: what only a few borders have is none of their print."""
    rim = RIM * min(field[0].width, field[0].height)
    touching = [cell for last, cell in pairwise(field) if abs(cell.x - last.x - last.width) <= rim]
    if len(touching) < LEAST_BORDERS:
        return
    half, high = math.ceil(rim) + 1, round(field[0].height - 2 * rim)
    strips = [
        picture[round(cell.y + rim) :, max(round(cell.x) - half, 0) :][:high, : 2 * half + 1] for cell in touching
    ]
    usual = np.median(strips, axis=0)
    for strip in strips:
        np.copyto(strip, usual.astype(np.uint8), where=strip < usual - FAINT)


def _inside(picture: Grey, cell: Box) -> Grey:
    """What lies inside the lines of a cell: a part of the picture."""
    rim = RIM * min(cell.width, cell.height)
    x, y, x_to, y_to = cell.x + rim, cell.y + rim, cell.x + cell.width - rim, cell.y + cell.height - rim
    return picture[round(y) : round(y_to), round(x) : round(x_to)]


def _written(inside: Grey, cell: Box) -> NDArray[np.bool_] | None:
    """The ink inside a cell, if a piece of it is as large as writing."""
    paper, darkest = np.percentile(inside, 90), float(inside.min())
    ink = (inside < paper - max(FAINT, 0.25 * (paper - darkest))).astype(np.uint8)
    stats = cv2.connectedComponentsWithStats(ink, connectivity=8)[2][1:]
    wide, high = stats[:, cv2.CC_STAT_WIDTH] / cell.width, stats[:, cv2.CC_STAT_HEIGHT] / cell.height
    if not ((high >= TALL) | ((wide >= WIDE) & (high >= FLAT))).any():
        return None
    around = np.ones((2 * RIM_OF_INK + 1, 2 * RIM_OF_INK + 1), np.uint8)
    return np.asarray(cv2.dilate(ink, around) > 0)
