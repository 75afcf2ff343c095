"""Fields that were found elsewhere than the fields around them say: paper stretches, but it has no steps."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.references import Reference
from mnist_batch.forms.registration import FieldPlace, FieldVerdict

AMONG = 8  # fields around that say where a field lies
# Millimetres beside where they have it. On paper that was fed unevenly fields lie up to 0.4 beside it. The line of a
# table that was taken for the next lay 1.9 to 2.5 beside it, and good fields next to such a one up to 1.1.
MOST = 1.0
NEAR = 1.0  # pixels; fields around that lie farther beside what the others say count less
STIFFNESS = 3.0  # a stretch of a hundredth costs as much as a field that lies off by a thirtieth of a pixel


def astray(places: Mapping[str, FieldPlace], reference: Reference) -> frozenset[str]:
    """The names of fields whose frames were found where smooth paper cannot have them; none of a form with few fields.

    One at a time, the one that lies farthest off, since it misleads those around it.
    """
    size = reference.matrix[[0, 1], [0, 1]]
    framed = [
        field
        for field in reference.fields
        if field.name in reference.frames and places[field.name].verdict is FieldVerdict.PLACED
    ]
    middles = np.array([reference.middle_of(field) for field in framed]).reshape(-1, 2)
    shifts = np.array([places[field.name].shift for field in framed]).reshape(-1, 2) * size
    kept = np.arange(len(framed))
    while len(kept) > AMONG:
        off = np.hypot(*(shifts[kept] - _expected(middles[kept], shifts[kept])).T)
        if off.max() <= MOST * reference.pixels_per_millimetre:
            break
        kept = np.delete(kept, off.argmax())
    return frozenset(field.name for at, field in enumerate(framed) if at not in set(kept.tolist()))


def _expected(middles: NDArray[np.float64], shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the fields around each have it: a plane through their shifts, (n, 2), in which outliers count little."""
    apart = np.hypot(*(middles[:, None] - middles[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    around = np.argsort(apart, axis=1, kind="stable")[:, :AMONG]
    rows = np.concatenate([np.ones((*around.shape, 1)), middles[around] - middles[:, None]], axis=2)
    theirs = shifts[around]
    cost = np.diag([0.0, STIFFNESS**2, STIFFNESS**2])
    off = np.linalg.norm(theirs - np.median(theirs, axis=1, keepdims=True), axis=2)
    for _ in range(6):
        weighted = rows.transpose(0, 2, 1) / (1 + (off / NEAR) ** 2)[:, None]
        planes = np.linalg.solve(weighted @ rows + cost, weighted @ theirs)
        off = np.linalg.norm(rows @ planes - theirs, axis=2)
    return np.asarray(planes[:, 0])
