"""Normalise a grey page of any size and polarity as MNIST was made: the ink fitted into 20x20 and centred in 28x28.

``ink.find_ink`` finds the ink and ``fit_each`` makes a picture of it. The box of 20 pixels, the kept aspect ratio and
the centre of mass are MNIST's own rules (LeCun et al., "Gradient-based learning applied to document recognition",
1998). An MNIST digit comes out almost unchanged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mnist_batch.pixels import stacks, thick_pens
from mnist_batch.pixels.ink import Box, Grey, Ink, find_ink, readings_of_each
from mnist_batch.pixels.opencv import cv2

VERSION = 4  # of everything done to a page before the model sees it; part of a run's fingerprint
SIDE = 28
BOX = 20
PALEST = 77  # of 255; strokes that averaging made weaker than this are not restored to full ink
_MOST_REACH = 3  # pixels at work size that soft edges may lie from the digit's mask

_AWAY = np.array([[1] * BOX**2, np.tile(np.arange(BOX), BOX), np.repeat(np.arange(BOX), BOX)], np.float64).T


@dataclass(frozen=True)
class Normalised:
    """A page as the model sees it, and how it was made. Only ``picture`` is set for a blank page, and is empty.

    ``picture`` is uint8 (28, 28), ink = 255. ``polarity`` is dark_on_light or light_on_dark; ``threshold`` is how many
    grey levels from the paper count as ink. ``box`` is the ink's (x, y, width, height) on the original page, ``scale``
    the pixels of the picture per pixel of the page. ``shift`` is how many pixels (across, down) centring by mass moved
    the digit from where evenly spread ink would lie. ``touching_border``: the digit, not a line, touches an edge.
    ``stray``: the digit touches an edge and lies in the outer third of the page there, like a stroke of a neighbouring
    cell.
    """

    picture: Grey
    polarity: str | None = None
    threshold: float | None = None
    box: Box | None = None
    scale: float | None = None
    shift: tuple[int, int] | None = None
    touching_border: bool | None = None
    stray: bool = False


def normalise(page: Grey) -> Grey:
    """The digit on a grey page as uint8 (28, 28), ink = 255; all 0 if the page has no ink."""
    return examine(page).picture


def examine(page: Grey) -> Normalised:
    """Normalise a grey page, and report where its ink is and how it was changed."""
    ink = find_ink(page)
    return _blank() if ink is None else fit_each([ink])[0]


def examine_all(page: Grey) -> list[Normalised]:
    """Every reading of a grey page, normalised, the likeliest first; at least one."""
    return examine_each([page])[0]


def examine_each(pages: Sequence[Grey]) -> list[list[Normalised]]:
    """Every reading of each page, as ``examine_all`` has them, in less time than page by page.

    On small pages a call takes longer than its pixels, and longest where the processor's cache has lost its code: each
    stage is done for many pages before the next, and where it can be in one call for those of one size.
    """
    alike = sorted(range(len(pages)), key=lambda at: pages[at].shape)
    found: dict[int, list[Normalised]] = {}
    for first in range(0, len(pages), stacks.MOST):
        together = alike[first : first + stacks.MOST]
        found.update(zip(together, _examined([pages[at] for at in together]), strict=True))
    return [found[at] for at in range(len(pages))]


def _examined(pages: Sequence[Grey]) -> list[list[Normalised]]:
    found = readings_of_each(pages)
    fitted = iter(fit_each([ink for inks in found for ink in inks]))
    seen = [[next(fitted) for _ in inks] or [_blank()] for inks in found]
    thick = thick_pens.are_thick(np.stack([likeliest.picture for likeliest, *_ in seen]))
    sure = {at: found[at][0] for at in np.flatnonzero(thick).tolist() if len(found[at]) == 1}
    for at, picture in _thinner(sure).items():
        seen[at].append(replace(seen[at][0], picture=picture))
    return seen


def _thinner(inks: Mapping[int, Ink]) -> dict[int, Grey]:
    """Pictures with thinner strokes of the digits that are of a thick pen throughout, by number as the inks are."""
    softs = _soft_inks([*inks.values()])[0] if inks else []
    thinned = zip(inks, map(thick_pens.thinned, softs), strict=True)
    thin = {at: ink for at, ink in thinned if ink is not None}
    return dict(zip(thin, _centred(*_fitted([*thin.values()]))[0], strict=True)) if thin else {}


def _blank() -> Normalised:
    return Normalised(np.zeros((SIDE, SIDE), np.uint8))


def fit_each(inks: Sequence[Ink]) -> list[Normalised]:
    """The digit of each page as the model sees it, from the page's ink."""
    if not inks:
        return []
    softs, boxes = _soft_inks(inks)
    fitted, sizes = _fitted(softs)
    pictures, shifts = _centred(fitted, sizes)
    return [_facts(*each) for each in zip(inks, boxes, pictures, shifts, strict=True)]


def _facts(ink: Ink, soft_box: Box, picture: Grey, shift: tuple[int, int]) -> Normalised:
    """A picture with the facts of its making; ``soft_box`` is around all of its ink, at work size."""
    left, top, width, height = soft_box
    (part_x, part_y, part_width, part_height), (high, wide) = ink.part, ink.work.shape
    across, down = part_width / wide, part_height / high
    x, y = int(left * across), int(top * down)
    box = part_x + x, part_y + y, _up((left + width) * across) - x, _up((top + height) * down) - y
    scale = BOX / max(width * across, height * down)
    dx, dy, w, h = ink.box
    touching = dx == 0 or dy == 0 or dx + w == wide or dy + h == high
    polarity = "dark_on_light" if ink.dark else "light_on_dark"
    return Normalised(picture, polarity, ink.threshold, box, scale, shift, touching, touching and _is_stray(ink))


def _is_stray(ink: Ink) -> bool:
    """Whether the digit touches an edge of the searched part and lies in the outer third of the page at that edge."""
    part, work, size = ink.part, ink.work.shape[::-1], ink.page
    for axis in (0, 1):
        first, last = ink.box[axis], ink.box[axis] + ink.box[axis + 2]
        scale = part[axis + 2] / work[axis]
        start, end = part[axis] + first * scale, part[axis] + last * scale
        if (first == 0 and 3 * end <= size[axis]) or (last == work[axis] and 3 * (size[axis] - start) <= size[axis]):
            return True
    return False


def _up(value: float) -> int:
    return -int(-(value - 1e-6) // 1)


def _soft_inks(inks: Sequence[Ink]) -> tuple[list[Grey], list[Box]]:
    """The ink of each digit as in MNIST, 255 in the middle of a stroke and grey at its edges, and its box.

    All other ink is 0. The pages are laid out on a stack, each in its upper left corner, with what is around its digit.
    """
    reaches = [max(1, round(max(ink.box[2:]) / 25)) for ink in inks]
    around = [_around(ink, reach) for ink, reach in zip(inks, reaches, strict=True)]
    crops = [ink.strength[part] for ink, part in zip(inks, around, strict=True)]
    strengths = stacks.laid_out(crops, _MOST_REACH)
    digits = stacks.laid_out([ink.digit[part] for ink, part in zip(inks, around, strict=True)], _MOST_REACH)
    near = _near(inks, around, digits, reaches)
    counts = stacks.histograms(strengths, digits)
    full = stacks.ranked(counts, (0.85 * (counts.sum(axis=1) - 1)).astype(np.int32))
    none = np.minimum(1.5 * np.array([ink.noise for ink in inks]), 0.35 * full)
    gains = 255 / np.maximum(full - none, 1.0)
    stretches = zip(crops, gains.tolist(), (-gains * none).tolist(), strict=True)
    stretched = [cv2.addWeighted(crop, gain, crop, 0, offset) for crop, gain, offset in stretches]
    soft = stacks.laid_out(stretched, _MOST_REACH) * near
    palest = np.array([0 if ink.noise < 0.5 and not ink.scaled else 30 for ink in inks], np.uint8)
    seen = [*map(cv2.boundingRect, (soft > palest[:, None, None]).view(np.uint8))]
    softs = [page[y : y + height, x : x + width] for page, (x, y, width, height) in zip(soft, seen, strict=True)]
    corners = [(part[1].start, part[0].start) for part in around]
    return softs, [(x + left, y + top, *size) for (left, top), (x, y, *size) in zip(corners, seen, strict=True)]


def _around(ink: Ink, reach: int) -> tuple[slice, slice]:
    x, y, width, height = ink.box
    left, top = max(0, x - reach - 1), max(0, y - reach - 1)
    return slice(top, y + height + reach + 1), slice(left, x + width + reach + 1)


def _near(inks: Sequence[Ink], around: Sequence[tuple[slice, slice]], digits: Grey, reaches: Sequence[int]) -> Grey:
    """Masks of where the soft edges of digits may lie: as near to them as ``reaches``, but not at other ink."""
    near, far = digits, np.array(reaches)[:, None, None]
    for reach in range(max(reaches)):
        near = np.asarray(np.where(far > reach, stacks.dilated(near), near), np.uint8)
    if all(ink.digit is ink.mask for ink in inks):
        return near
    others = stacks.laid_out([ink.mask[part] for ink, part in zip(inks, around, strict=True)], _MOST_REACH) & ~digits
    for page, ink, part in zip(others, inks, around, strict=True):
        if ink.lines is not None:
            lines = ink.lines[part]
            page[: lines.shape[0], : lines.shape[1]] |= lines
    return near & ~stacks.dilated(others) | digits


def _fitted(softs: Sequence[Grey]) -> tuple[Grey, list[tuple[int, int]]]:
    """Ink scaled to fill the box of 20 pixels, in the upper left corners of uint8 (N, 20, 20); widths and heights."""
    fitted, sizes, scaled = np.zeros((len(softs), BOX, BOX), np.uint8), [], []
    for at, ink in enumerate(softs):
        height, width = ink.shape
        factor = BOX / max(height, width)
        size = max(1, round(width * factor)), max(1, round(height * factor))
        sizes.append(size)
        if size != (width, height):
            ink = cv2.resize(ink, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
            scaled.append(at)
        fitted[at, : size[1], : size[0]] = ink
    # Averaging makes thin strokes pale.
    counts = np.array([max(1, width * height // 20) for width, height in sizes])
    full = stacks.ranked(stacks.histograms(fitted), BOX**2 - counts)
    for at, level in zip(scaled, full[scaled].tolist(), strict=True):
        if level != 255:
            fitted[at] = cv2.convertScaleAbs(fitted[at], alpha=255 / max(level, PALEST))
    return fitted, sizes


def _centred(fitted: Grey, sizes: Sequence[tuple[int, int]]) -> tuple[Grey, list[tuple[int, int]]]:
    """Pictures with the ink centred by mass, (N, 28, 28), and its shifts from where evenly spread ink would lie."""
    mass, across, down = (fitted.reshape(-1, BOX**2) @ _AWAY).T
    lefts, tops = (SIDE / 2 - moment / np.maximum(mass, 1e-6) + 0.501 for moment in (across, down))
    pictures, shifts = np.zeros((len(fitted), SIDE, SIDE), np.uint8), []
    for at, (width, height) in enumerate(sizes):
        left, top = min(max(int(lefts[at]), 0), SIDE - width), min(max(int(tops[at]), 0), SIDE - height)
        pictures[at, top : top + height, left : left + width] = fitted[at, :height, :width]
        shifts.append((left - (SIDE - width) // 2 - 1, top - (SIDE - height) // 2 - 1))
    return pictures, shifts
