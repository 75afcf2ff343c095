"""Where the cells of a field lie on stretched paper: parts of its frame are looked for one by one."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import frames
from mnist_batch.forms.aligning import Aligned, Tinted
from mnist_batch.forms.astray import astray
from mnist_batch.forms.form import Field
from mnist_batch.forms.geometry import corners_of, mapped
from mnist_batch.forms.references import Reference
from mnist_batch.forms.registration import FieldPlace, FieldVerdict

STRETCHED = 0.15  # pixels that print lies off the map of the page, in the median; where it is less, paper is even
REACH = 5  # pixels from where the whole frame lies that its parts are looked for
NEAR = 0.5  # pixels beside the map of the field; parts that lie farther off count less
MOST = 3  # pixels that a corner of a field may be stretched; where it is more, the page has a step: a fax lost lines
STIFFNESS = 30.0  # a stretch of a hundredth costs as much as a part that lies off by a third of a pixel


def stretched(places: Mapping[str, FieldPlace], reference: Reference, aligned: Aligned) -> dict[str, FieldPlace]:
    """The places of the fields, where the page is not even: each stretched as the parts of its frame are.

    A field that lies where stretched paper cannot have it is shifted.
    """
    if aligned.residual < STRETCHED:
        return dict(places)
    lost = astray(places, reference)
    smooth = {**places, **{name: replace(places[name], verdict=FieldVerdict.SHIFTED) for name in lost}}
    return {field.name: _stretched(field, smooth[field.name], reference, aligned) for field in reference.fields}


def _stretched(field: Field, place: FieldPlace, reference: Reference, aligned: Aligned) -> FieldPlace:
    frame = reference.frames.get(field.name)
    if frame is None or place.verdict is not FieldVerdict.PLACED:
        return place
    if aligned.tints is not Tinted.KEPT and frame.is_faint(reference.print.darkness):
        return place
    size = reference.matrix[[0, 1], [0, 1]]
    shift = (float(place.shift[0] * size[0]), float(place.shift[1] * size[1]))
    reach = REACH + int(np.ceil(np.abs(shift).max()))
    parts = [(part.middles, frames.seek(part, aligned, shift, reach)) for part in frame.parts]
    found = [(middles, sought.shift) for middles, sought in parts if sought.is_found and _is_near(sought.shift, shift)]
    if len(found) < 2:
        return place
    here, shifts = np.array([middles for middles, _ in found]), np.array([moved for _, moved in found])
    bent = np.array([_fitted(here[:, axis], shifts[:, axis]) for axis in (0, 1)])
    there = np.vstack([np.eye(3)[:2] + bent, [0.0, 0.0, 1.0]])
    box = reference.box_of(field)
    corners = corners_of(*box[0], *(box[1] - box[0]))
    if np.abs(mapped(there, corners) - corners - shift).max() > MOST:
        return place
    return replace(place, matrix=aligned.matrix_at(box) @ there @ reference.matrix)


def _is_near(shift: tuple[float, float], whole: tuple[float, float]) -> bool:
    """Whether a part lies so near to where the whole frame does that paper may be stretched so."""
    return bool(np.hypot(shift[0] - whole[0], shift[1] - whole[1]) < REACH)


def _fitted(here: NDArray[np.float64], shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much points are shifted along an axis, as the row of an affine map; it is as stiff as paper."""
    middle = here.mean(axis=0)
    rows = np.c_[here - middle, np.ones(len(here))]
    cost = np.diag([STIFFNESS**2, STIFFNESS**2, 0.0])
    off = np.zeros(len(here))
    for _ in range(4):
        weighted = rows.T / (1 + (off / NEAR) ** 2)
        row = np.linalg.solve(weighted @ rows + cost, weighted @ shifts)
        off = rows @ row - shifts
    return np.append(row[:2], row[2] - row[:2] @ middle)
