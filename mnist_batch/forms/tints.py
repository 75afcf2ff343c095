"""Faint print, as tints are: a fax, a photocopier or a scanner in black and white may have lost it on a whole page."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.frames import FAINT, FAINTEST, INKED, Frame, Levels
from mnist_batch.forms.geometry import Grey
from mnist_batch.pixels.opencv import cv2

AROUND = 6  # pixels around frames, in which their ink may lie
# Of the ink of faint frames: with less in and around them the page has lost it. Where it is printed, or lines elsewhere
# are, there is at least 0.6 of it; what is written leaves up to 0.2, and a tint that has become single dots 0.5.
KEPT = 0.5
# By how much more of the lines between cells is inked than of those above and below: where a tint is lost, what is
# written lies on them only if the cells are elsewhere.
BETWEEN = 0.15
LONG = 60  # pixels of a level line; no stroke that people write is so long and straight
BEYOND, STROKE = 24, 12  # pixels beside a field's end, and of ink there that is written
MOST = 0.5  # of the fields
THICK = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class Tints:
    """The faint frames of a reference: its pixels ``around`` them where nothing is written, and those of their lines.

    ``across`` and ``down`` are the lines along rows and columns. All are (n, 2), rows first; ``size`` is how many
    pixels the lines have. ``fields`` are the places of frames near which the form has no other level line, and
    ``beyond`` those beside the right ends of frames where the form is empty.
    """

    fields: tuple[tuple[slice, slice], ...]
    beyond: tuple[tuple[slice, slice], ...]
    around: NDArray[np.intp]
    across: NDArray[np.intp]
    down: NDArray[np.intp]
    size: int
    darkness: float

    @classmethod
    def of(cls, frames: Mapping[str, Frame], print_darkness: float, written: Grey, dark: Levels) -> "Tints | None":
        """The faint ones of the frames of a reference; None if there are none.

        Its cells are ``written``, and ``dark`` is how dark its print is.
        """
        faint = [frame for frame in frames.values() if frame.is_faint(print_darkness)]
        if not faint:
            return None
        fields, beyond = list[tuple[slice, slice]](), list[tuple[slice, slice]]()
        taken = (dark >= FAINTEST) | (written > 0)
        black = (dark >= FAINT * print_darkness).view(np.uint8)
        level = _level_lines(black)
        around, across, down = (np.zeros(written.shape, np.uint8) for _ in range(3))
        for frame in faint:
            (left, top), (high, wide) = frame.corner, frame.kernel.shape
            rows = slice(max(0, top - AROUND), top + high + AROUND)
            field = rows, slice(max(0, left - AROUND), left + wide + AROUND)
            around[field] = 1
            if not level[field].any():
                fields.append(field)
            end = slice(top, top + high), slice(left + wide + AROUND, left + wide + AROUND + BEYOND)
            if left + wide + AROUND + BEYOND <= written.shape[1] and not taken[end].any():
                beyond.append(end)
            for lines, own in ((across, frame.across), (down, frame.down)):
                lines[top : top + high, left : left + wide] |= (own > 0).view(np.uint8)
        black[cv2.dilate(across | down, THICK) > 0] = 0
        around[(written > 0) | (cv2.dilate(black, THICK) > 0)] = 0
        places = [np.asarray(np.argwhere(each), np.intp) for each in (around, across, down)]
        return cls(
            fields=tuple(fields),
            beyond=tuple(beyond),
            around=places[0],
            across=places[1],
            down=places[2],
            size=int(np.count_nonzero(across | down)),
            darkness=float(np.median([frame.darkness for frame in faint])),
        )

    def are_lost(self, dark: Levels, gain: float) -> bool:
        """Whether a page that was laid onto the reference lost them: there is hardly any ink in and around them."""
        return int((_at(dark, self.around) >= self._level(gain)).sum()) < KEPT * self.size

    def may_be_elsewhere(self, dark: Levels, gain: float) -> bool:
        """Whether a page that lost them has other lines there, or writing between the cells or beyond most fields."""
        ink = (dark >= self._level(gain)).view(np.uint8)
        level = _level_lines(ink)
        lined = np.mean([level[field].any() for field in self.fields]) if self.fields else 0.0
        overrun = np.mean([ink[end].sum() >= STROKE for end in self.beyond]) if self.beyond else 0.0
        thick = cv2.dilate(dark, THICK)
        across, down = ((_at(thick, lines) >= self._level(gain)).mean() for lines in (self.across, self.down))
        return bool(down > across + BETWEEN or max(lined, overrun) >= MOST)

    def _level(self, gain: float) -> float:
        return max(FAINTEST / 2, INKED * gain * self.darkness)


def _level_lines(ink: Grey) -> Grey:
    """The lines of ink along rows, which may be slanted a little."""
    slanted = cv2.dilate(ink, np.ones((3, 1), np.uint8))
    lines: Grey = cv2.morphologyEx(slanted, cv2.MORPH_OPEN, np.ones((1, LONG), np.uint8))
    return lines


def _at(dark: Levels, places: NDArray[np.intp]) -> Levels:
    return np.asarray(dark[places[:, 0], places[:, 1]])
