"""What is known of a page once it was compared with the forms: which it is of, and where the form lies on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Verdict(StrEnum):
    """What a page is. Cells are cut from a ``registered`` page only."""

    REGISTERED = "registered"
    NOT_REGISTERED = "not_registered"
    UNKNOWN_FORM = "unknown_form"
    OTHER_VERSION = "other_version"
    TWO_SHEETS = "two_sheets"
    BLANK_PAGE = "blank_page"


class FieldVerdict(StrEnum):
    """Whether the printed frame of a field is where the form says it is."""

    PLACED = "placed"
    CUT_OFF = "cut_off"
    SHIFTED = "shifted"


@dataclass(frozen=True)
class FieldPlace:
    """Where a field lies: ``matrix``, float64 (3, 3), maps pixels of the form's picture to pixels of the page.

    ``shift`` is how far, in pixels of the form's picture, the field's own frame was from where the whole page's map
    has it; ``frame`` is the share of its printed frame that was found there, 1 where none is printed.
    """

    verdict: FieldVerdict
    matrix: NDArray[np.float64]
    shift: tuple[float, float] = (0.0, 0.0)
    frame: float = 1.0


@dataclass(frozen=True)
class Registration:
    """The verdict on a page, with a sentence why; the rest is only known of a page that is like a form.

    ``form`` is the form's name, ``version`` its version and ``page`` its page, counted from 0. ``matrix``, float64
    (3, 3), maps pixels of the form's picture to pixels of the page. ``turn`` is by how many degrees clockwise the page
    lies turned: 0, 90, 180 or 270. ``residual`` is in pixels of the form's picture; ``printed`` is the share of what is
    printed on the form that was found where it belongs; ``inliers`` are the points that agree. ``fields`` are by the
    name of the field. ``landmarks`` are the middles of the form's print, in pixels of the page, (n, 2), that was found
    there, and ``missing`` those of what was not.
    """

    verdict: Verdict
    reason: str | None = None
    form: str | None = None
    page: int | None = None
    matrix: NDArray[np.float64] | None = None
    turn: int = 0
    residual: float | None = None
    printed: float | None = None
    inliers: int | None = None
    method: str | None = None
    version: str | None = None
    fields: Mapping[str, FieldPlace] = field(default_factory=dict)
    landmarks: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    missing: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
