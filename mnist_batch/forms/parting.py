"""Part two digits that touch: straight cuts through their ink, upright or slanted as people write."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SLANTS = (0.0, 0.2, 0.4, 0.6)  # pixels that a cut goes to the right for each pixel up

Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cut:
    """A cut through a piece of ink: at ``column`` in the middle of its height, with this ``slant``.

    ``length`` is from the first pixel of ink on the cut to the last one, and ``away`` how far it lies from where it was
    looked for. ``height`` is that of the lower one of the two parts, and ``width`` that of the narrower one, along the
    slant. All are in pixels. ``right`` is the share of the ink that lies to the right of it.
    """

    column: int
    slant: float
    length: int
    away: int
    height: int
    width: int
    right: float

    @property
    def order(self) -> tuple[int, int, float]:
        """The better a cut, the less: it is short, and near."""
        return self.length + self.away, self.away, self.slant

    def is_right(self, x: Numbers, y: Numbers) -> NDArray[np.bool_]:
        """Which pixels of the piece lie on it or to the right of it."""
        return np.asarray(_along(x, y, self.slant) >= self.column)


def cuts(x: Numbers, y: Numbers, column: int, reach: int) -> Iterator[Cut]:
    """The cuts through a piece of ink, pixels ``x`` and ``y``, so near to a column, that leave ink on both sides."""
    for slant in SLANTS:
        along = _along(x, y, slant)
        first = int(along.min())
        at = along - first
        ink = np.bincount(at)
        tops, feet = np.full(len(ink), y.max()), np.full(len(ink), y.min())
        np.minimum.at(tops, at, y)
        np.maximum.at(feet, at, y)
        left = np.maximum.accumulate(feet) - np.minimum.accumulate(tops)
        right = (np.maximum.accumulate(feet[::-1]) - np.minimum.accumulate(tops[::-1]))[::-1]
        share = 1 - (np.cumsum(ink) - ink) / len(x)
        near = range(max(column - reach - first, 1), min(column + reach - first, len(ink) - 1))
        for cut in near:
            yield Cut(
                column=first + cut,
                slant=slant,
                length=max(0, int(feet[cut] - tops[cut]) + 1),
                away=abs(first + cut - column),
                height=int(min(left[cut - 1], right[cut])),
                width=min(cut, len(ink) - cut),
                right=float(share[cut]),
            )


def width(x: Numbers, y: Numbers) -> int:
    """How wide a piece of ink is along the slant along which it is narrowest, in pixels."""
    return 1 + min(int(np.ptp(_along(x, y, slant))) for slant in SLANTS)


def _along(x: Numbers, y: Numbers, slant: float) -> Numbers:
    """The column of each pixel if the slant were taken out, and the middle row left in its place."""
    middle = (int(y.min()) + int(y.max())) // 2
    return np.asarray(x + np.rint(slant * (y - middle)), np.int64)
