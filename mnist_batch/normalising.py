"""A grey page of any size and polarity as MNIST was made: ink found on paper, fitted into 20x20, centred in 28x28.

The order is that of ``normalise``. MNIST's own rules (LeCun et al., "Gradient-based learning applied to document
recognition", 1998) are the box of 20 pixels, the kept aspect ratio and the centre of mass; an MNIST digit comes out
nearly as it went in.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 28
BOX = 20
WORK = 64  # pixels of the longer side in which ink is looked for: a digit of half a cell is still above 20
LEAST_CONTRAST = 8  # grey levels between paper and ink
SMALLEST = 24  # pixels of a digit at work size; a smaller one is looked for again, closer

Grey = NDArray[np.uint8]
Ink = NDArray[np.float32]

_TRIANGLE = 7.0 - np.abs(np.arange(-6, 7))
_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class _Found:
    """Ink on a page: its strength, the pieces that are the digit, everything else that is ink, and the noise."""

    strength: Ink
    digit: Grey
    others: Grey
    noise: float


def normalise(page: Grey) -> Grey:
    """The digit of a grey page as uint8 (28, 28), ink = 255; all 0 where there is no ink."""
    return _normalise(page, closer=True)


def _normalise(page: Grey, closer: bool) -> Grey:
    page = _without_frame(page)
    work = _at_work_size(page)
    found = _find(work)
    if found is None:
        return np.zeros((SIDE, SIDE), np.uint8)
    box = cv2.boundingRect(found.digit)
    if closer and max(box[2:]) < SMALLEST and work.shape[0] < page.shape[0]:
        return _normalise(_around(page, box, work.shape[1]), closer=False)
    ink, clean = _soft_ink(found), found.noise < 0.5 and work is page
    x, y, width, height = cv2.boundingRect(np.greater(ink, 0 if clean else 0.12).view(np.uint8))
    return _centred(_fitted(ink[y : y + height, x : x + width]))


def _without_frame(page: Grey, tolerance: int = 6) -> Grey:
    """The page without rows and columns of one grey around a paper of another: a box cut out with its border."""
    for _ in range(3):
        grey, (height, width) = int(page[0, 0]), page.shape
        corners = (page[0, -1], page[-1, 0], page[-1, -1])
        if min(height, width) < 12 or any(abs(int(corner) - grey) > tolerance for corner in corners):
            break
        x, y, inner_width, inner_height = cv2.boundingRect(
            cv2.compare(cv2.absdiff(page, float(grey)), tolerance, cv2.CMP_GT)
        )
        if inner_width == width or inner_height == height:
            break
        if inner_width < max(12, 0.6 * width) or inner_height < max(12, 0.6 * height):
            break  # that is a digit
        inner = page[y : y + inner_height, x : x + inner_width]
        ring = np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]]).astype(np.int16)
        paper = int(np.median(ring))
        if abs(paper - grey) <= tolerance or (np.abs(ring - paper) < 24).mean() < 0.75:
            break
        page = inner
    return page


def _at_work_size(page: Grey) -> Grey:
    height, width = page.shape
    longer = max(height, width)
    if SIDE <= longer <= WORK:
        return page
    factor = WORK / longer if longer > WORK else 48 / longer
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(page, size, interpolation=how), np.uint8)


def _around(page: Grey, box: tuple[int, int, int, int], work_width: int) -> Grey:
    factor, (x, y, width, height) = page.shape[1] / work_width, box
    margin = max(4, max(width, height) // 2)
    top, left = (max(0, int((at - margin) * factor)) for at in (y, x))
    return page[top : int((y + height + margin) * factor) + 1, left : int((x + width + margin) * factor) + 1]


def _find(page: Grey) -> _Found | None:
    # The difference of neighbours: neither a gradient of the light nor the few edges of ink move its median.
    steps = np.abs(np.diff(page.astype(np.int16), axis=1))
    noise = min(1.05 * float(np.median(steps)) if steps.size else 0.0, 30.0)
    strength = _strength(page, noise)
    smooth = cv2.blur(strength, (3, 3)) if noise > 0.5 else strength
    count = max(4, smooth.size // 250)
    strongest = float(np.partition(smooth, -count, axis=None)[-count]) if count < smooth.size else 0.0
    if strongest < max(LEAST_CONTRAST, 4 * noise):
        return None
    mask = np.greater(strength, max(0.3 * strongest, 2.5 * noise)).view(np.uint8)
    lines = _lines(mask)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(cv2.subtract(mask, lines), connectivity=8)
    if count < 2:
        return None
    strong = np.bincount(labels[strength > 0.55 * strongest], minlength=count) > 0
    digit = _pieces(labels, stats, centres, strong).astype(np.uint8)[labels]
    return _Found(strength, digit, cv2.subtract(mask, digit) | lines, noise) if digit.any() else None


def _strength(page: Grey, noise: float) -> Ink:
    """How far each pixel is from the paper around it, positive towards the ink."""
    height, width = page.shape
    away = page - _paper(page, noise)
    # Ink is on the side that is farther from the paper, apart from the edges, where borders and shadows are.
    core = away[height // 8 : height - height // 8, width // 8 : width - width // 8]
    strength = -away if float((core * np.abs(core)).sum()) <= 0 else away
    small = cv2.resize(strength, (max(2, width // 4), max(2, height // 4)), interpolation=cv2.INTER_AREA)
    reach = max(3, (min(small.shape) * 7 // 10) | 1)  # wider than a digit's strokes lie apart
    floor = cv2.morphologyEx(small, cv2.MORPH_OPEN, np.ones((reach, reach), np.uint8))
    if float(floor.max() - floor.min()) > LEAST_CONTRAST:  # what is wider than a stroke is no ink
        floor = cv2.GaussianBlur(floor, (0, 0), reach / 3)
        strength = strength - cv2.resize(floor, (width, height), interpolation=cv2.INTER_LINEAR)
        strength -= float(np.median(strength))
    return np.asarray(strength, np.float32)


def _paper(page: Grey, noise: float) -> Ink | np.float32:
    """The grey of the paper: of all of it, or at each pixel where the light is uneven."""
    height, width = page.shape
    histogram = np.bincount(page.ravel(), minlength=256)
    reach = int(max(12, 2.5 * noise))

    def share(grey: int) -> float:
        return float(histogram[max(0, grey - reach) : grey + reach + 1].sum()) / page.size

    paper = int(np.convolve(histogram, _TRIANGLE, "same").argmax())
    if share(paper) < 0.72 and min(height, width) >= 16:
        # The median of a neighbourhood that is wider than strokes; edges, where borders are, count but once in it.
        seen = cv2.resize(page, (16, 16), interpolation=cv2.INTER_AREA)
        local = cv2.medianBlur(cv2.copyMakeBorder(seen, 4, 4, 4, 4, cv2.BORDER_REFLECT_101), 9)[4:-4, 4:-4]
        wide = local.astype(np.float32)
        steepest = max(float(np.abs(np.diff(wide, axis=axis)).max()) for axis in (0, 1))
        if float(wide.max() - wide.min()) > 16 and steepest <= 30:
            smooth = cv2.GaussianBlur(wide, (0, 0), 1.0)
            return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    corner = int(np.median(page[:: max(1, height - 1), :: max(1, width - 1)]))
    if abs(corner - paper) > 60 and share(paper) < 0.5 and share(corner) > 0.25:
        return np.float32(corner)  # a thick digit, cut out tightly, is most of its page
    return np.float32(paper)


def _lines(mask: Grey) -> Grey:
    """Box borders and ruled lines: ink from edge to edge, thin, in the outer quarter of the page; slants allowed."""
    (height, width), none = mask.shape, np.zeros_like(mask)
    high, wide = max(1, height // 4), max(1, width // 4)
    rows, columns = mask.mean(axis=1), mask.mean(axis=0)
    if max(rows[:high].max(), rows[-high:].max(), columns[:wide].max(), columns[-wide:].max()) < 0.45:
        return none
    thick = cv2.dilate(mask, _NEIGHBOURS)
    outside = {"borderType": cv2.BORDER_CONSTANT, "borderValue": 0}
    across = cv2.morphologyEx(thick, cv2.MORPH_OPEN, np.ones((1, max(3, int(0.7 * width))), np.uint8), **outside)
    across[high:-high] = 0
    down = cv2.morphologyEx(thick, cv2.MORPH_OPEN, np.ones((max(3, int(0.7 * height)), 1), np.uint8), **outside)
    down[:, wide:-wide] = 0
    in_rows, in_columns = across.any(axis=1), down.any(axis=0)
    thickest = (max(4, 0.16 * height), max(4, 0.16 * width))
    if any(
        side.sum() > most
        for found, band, most in zip((in_rows, in_columns), (high, wide), thickest, strict=True)
        for side in (found[:band], found[-band:])
    ):
        return none
    # The bar of a 7 ends on the page; a line goes on beyond it.
    if not (across[:, :3].any() and across[:, -3:].any()):
        across[:] = 0
    if not (down[:3].any() and down[-3:].any()):
        down[:] = 0
    lines = across | down
    left = cv2.subtract(mask, lines)
    x, y, w, h = cv2.boundingRect(left)
    # Unless the page was cut out tightly around it: what is left still touches the edges then.
    free = (x > 0) + (y > 0) + (x + w < width) + (y + h < height)
    return lines if free >= 3 and int(left.sum()) >= 0.12 * int(mask.sum()) else none


def _pieces(
    labels: NDArray[np.int32], stats: NDArray[np.int32], centres: NDArray[np.float64], strong: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which connected pieces are the digit: the largest near the middle, and those that are parts of it."""
    height, width = labels.shape
    x, y, w, h, area = (stats[:, column].astype(np.float64) for column in range(5))
    sides = (x == 0).astype(int) + (y == 0) + (x + w == width) + (y + h == height)
    off_centre = np.maximum(
        np.abs(centres[:, 0] - (width - 1) / 2) / width, np.abs(centres[:, 1] - (height - 1) / 2) / height
    )
    inside = np.bincount(
        labels[height // 5 : height - height // 5, width // 5 : width - width // 5].ravel(), minlength=len(stats)
    )
    strong[0] = False
    spans = (w > 0.8 * width) | (h > 0.8 * height)
    frame = (sides >= 2) & (area < 0.4 * w * h) & spans & (inside < 0.3 * area)
    # A box that was drawn on the page as a whole has a digit in it; a 0 has not.
    boxed = (w > 0.6 * width) & (h > 0.6 * height) & (area < 0.35 * w * h) & (inside < 0.3 * area)
    frame |= boxed & (np.where(strong & ~boxed, inside, 0).max() > np.maximum(9, 0.04 * area))
    strip = (sides > 0) & (off_centre > 0.33) & ((w < 0.22 * width) | (h < 0.22 * height))
    some = strong & ~frame & ~strip
    for fewer in (strong & ~frame, strong):
        some = some if some.any() else fewer
    main = int((area * some * (1.2 - off_centre)).argmax())
    pieces = some & (area >= max(3.0, 0.03 * area[main]))
    if not sides[main]:
        pieces &= ~((sides > 0) & (off_centre > 0.28) & (area < 0.5 * area[main]))
    return np.asarray(pieces, np.bool_)


def _soft_ink(found: _Found) -> Ink:
    """Ink as MNIST has it: 1 in the middle of a stroke, grey at its edges, 0 on paper and on what is not the digit."""
    _, _, width, height = cv2.boundingRect(found.digit)
    near = cv2.dilate(found.digit, _NEIGHBOURS, iterations=max(1, round(max(width, height) / 25)))
    if found.others.any():
        near = cv2.subtract(near, cv2.dilate(found.others, _NEIGHBOURS)) | found.digit
    full = float(np.percentile(found.strength[found.digit > 0], 85))
    none = min(1.5 * found.noise, 0.35 * full)
    return np.asarray(np.clip((found.strength - none) / max(full - none, 1.0), 0, 1) * near, np.float32)


def _fitted(ink: Ink) -> Ink:
    height, width = ink.shape
    factor = BOX / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if size == (width, height):
        return ink
    fitted = cv2.resize(ink, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    count = max(1, fitted.size // 20)
    full = float(np.partition(fitted, -count, axis=None)[-count])  # a thin stroke is averaged to a pale one
    return np.asarray(np.minimum(fitted / max(full, 0.3), 1), np.float32)


def _centred(ink: Ink) -> Grey:
    height, width = ink.shape
    down, across = ink.sum(axis=1), ink.sum(axis=0)
    mass = max(float(down.sum()), 1e-6)
    middle = float(down @ np.arange(height)) / mass, float(across @ np.arange(width)) / mass
    top, left = (
        min(max(int(SIDE / 2 - at + 0.501), 0), SIDE - length) for at, length in zip(middle, ink.shape, strict=True)
    )
    picture = np.zeros((SIDE, SIDE), np.uint8)
    picture[top : top + height, left : left + width] = ink * 255 + 0.5
    return picture
