"""What drift is measured by: some thirty metrics of each group of rows, as sums gathered part by part.

Scans of a page are of one hand, so pages, and not rows, count as independent: beside the sums of a metric, those of its
squares and products over pages are kept. They give the standard error of a ratio of sums (W. G. Cochran, Sampling
Techniques, 1977, 6.4).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mnist_batch.models import likeness
from mnist_batch.schemas.tables import CLASSES, KEY
from mnist_batch.statuses import READ, REFUSALS, SAME, Status

Group = tuple[str | None, str | None, str | None]  # source, form, field; None: not told apart
WHOLE: Group = (None, None, None)
Numbers = NDArray[np.float64]
SURE = 0.99
# The sums of a metric: pages with a value, values, their sum, and over pages the sums of squares and of the product.
PAGES, COUNT, SUM, COUNT_SQUARED, PRODUCT, SUM_SQUARED = range(6)


@dataclass(frozen=True)
class Metric:
    """A metric of a group: what it is in words, whether it is a share of its rows, and how a value is shown.

    ``times`` makes what is shown of a value. A night counts for at most ``most_pages``, since nights differ by more
    than their pages do (``drift.compare``); differences between means that are about as small as ``matters`` do not
    count as any.
    """

    title: str
    shown: str = "{:.1f} %"
    times: float = 100
    share: bool = False
    most_pages: float = 500
    matters: float = 0.0

    def text(self, value: float) -> str:
        """A value as people read it."""
        return self.shown.format(self.times * value)


def _share(title: str) -> Metric:
    return Metric(title, share=True)


METRICS: Mapping[str, Metric] = {
    **{f"digit_{digit}": _share(f"answers that are {digit}") for digit in range(CLASSES)},
    "blank": _share("blank rows"),
    "refused": _share("rows that hold no digit, or several"),
    "unreadable": _share("rows that could not be read"),
    "review": _share("rows for review"),
    "inverted": _share("light ink on dark paper"),
    "unsure": _share(f"answers less than {100 * SURE:g} % sure"),
    "stroke_width": Metric("stroke width", "{:.2f} pixels of 28", 1, matters=0.02),
    "ink_share": Metric("share of the picture that is ink", matters=0.001),
    "slant": Metric("slant, to the right", "{:.2f} pixels a pixel", 1, matters=0.01),
    "contrast": Metric("contrast of the ink", "{:.1f} grey levels", 1, matters=0.5),
    "width": Metric("width of the digits", "{:.1f} pixels", 1, matters=0.1),
    "height": Metric("height of the digits", "{:.1f} pixels", 1, matters=0.1),
    "across": Metric("place from the left", "{:.1f} pixels", 1, matters=0.1),
    "down": Metric("place from the top", "{:.1f} pixels", 1, matters=0.1),
    "residual": Metric("residual of registration", "{:.2f} pixels", 1, matters=0.02),
    "printed": Metric("print that was found where it belongs", matters=0.005),
    "seconds": Metric("seconds to read one", "{:.3f} s", 1, most_pages=4, matters=0.001),
}
NAMES = tuple(METRICS)
REVIEW = NAMES.index("review")


class Moment(NamedTuple):
    """A metric of a group in one night: its pages, its rows with a value, their mean, and its standard error."""

    pages: int
    rows: int
    value: float
    error: float


Night = Mapping[tuple[str | None, str | None, str | None, str], Moment]  # by group and metric


def _sums() -> Numbers:
    return np.zeros((len(NAMES), 6))


@dataclass
class Seen:
    """The sums of the metrics of each group of a run or part, float64 (metrics, 6).

    ``ruled`` says whether the run has a rule.
    """

    ruled: bool = False
    sums: dict[Group, Numbers] = field(default_factory=lambda: defaultdict(_sums))

    def add(self, rows: pa.Table, pictures: NDArray[np.uint8]) -> None:
        """Add rows as ``answers.answer`` makes them, with what the model saw of them, uint8 (N, 28, 28)."""
        if not len(rows):
            return
        groups = _Groups.of(rows)
        for name, values in {**_of_rows(rows), **_of_pictures(rows, pictures)}.items():
            self._add(name, values, groups, ("source", "field"))
        self._add_review(rows, groups)
        if "registration" in rows.column_names:
            for name, values in _of_registrations(rows).items():
                self._add(name, values, groups, ("form",))
            for name, values in _of_cells(rows).items():
                self._add(name, values, groups, ("field",))

    def recount(self, rows: pa.Table) -> None:
        """Count anew what is for review, of all rows that were added: their decisions have changed."""
        for sums in self.sums.values():
            sums[REVIEW] = 0
        if len(rows):
            self._add_review(rows, _Groups.of(rows))

    def _add_review(self, rows: pa.Table, groups: "_Groups") -> None:
        if self.ruled:
            review = pc.equal(rows["decision"].cast(pa.string()), "review").fill_null(False).to_numpy()
            own = _own(rows)
            self._add("review", (own, review[own].astype(np.float64)), groups, ("source", "field"))

    def _add(self, metric: str, found: "Values", groups: "_Groups", kinds: Sequence[str]) -> None:
        """Add the values of a metric to the groups of these kinds."""
        at, values = found
        at, values = at[np.isfinite(values)], values[np.isfinite(values)]
        for kind in kinds:
            group, page = groups.places[kind][at], groups.page[at]
            own = group >= 0
            # A unit is what a page has of a group.
            pages = len(groups.page)
            unit, place = np.unique(group[own] * pages + page[own], return_inverse=True)
            count, total = np.bincount(place), np.bincount(place, values[own])
            each = np.stack([np.ones(len(count)), count, total, count**2, count * total, total**2], axis=1)
            of = unit // pages
            first = np.flatnonzero(np.diff(of, prepend=-1))
            for number, sums in zip(of[first], np.add.reduceat(each, first) if len(first) else (), strict=True):
                self.sums[groups.names[number]][NAMES.index(metric)] += sums

    def as_json(self) -> list[Any]:
        """The sums as values of JSON, for ``merge``; metrics without a value are left out."""
        return [
            [*group, {NAMES[at]: sums[at].tolist() for at in np.flatnonzero(sums[:, PAGES])}]
            for group, sums in self.sums.items()
        ]

    def merge(self, numbers: list[Any]) -> None:
        """Add what ``as_json`` made of other rows."""
        for source, form, name, sums in numbers:
            for metric, values in sums.items():
                self.sums[source, form, name][NAMES.index(metric)] += values

    def night(self) -> dict[tuple[str | None, str | None, str | None, str], Moment]:
        """The moments of every group, and of the same groups of all sources together."""
        every: dict[Group, Numbers] = defaultdict(_sums)
        for (source, form, name), sums in self.sums.items():
            every[source, form, name] += sums
            every[None, form, name] += sums
        order = sorted(every, key=lambda group: tuple(each or "" for each in group))
        return {
            (*group, metric): moment
            for group in order
            for metric, moment in zip(NAMES, map(moment_of, every[group]), strict=True)
            if moment.pages
        }


def moment_of(sums: Numbers) -> Moment:
    """The mean of a metric and its standard error, from its sums, float64 (6,)."""
    pages, count, total, count_squared, product, squared = sums.tolist()
    if not pages:
        return Moment(0, 0, 0.0, 0.0)
    mean = total / count
    spread = max(squared - 2 * mean * product + mean * mean * count_squared, 0.0)
    return Moment(int(pages), int(count), mean, (spread * pages / max(pages - 1, 1)) ** 0.5 / count)


@dataclass(frozen=True)
class _Groups:
    """The groups of N rows: by kind the place of each row's group in ``names``, int64 (N,), -1 for none.

    ``page``, int64 (N,), is a number for the page of each row.
    """

    places: Mapping[str, NDArray[np.int64]]
    names: list[Group]
    page: NDArray[np.int64]

    @classmethod
    def of(cls, rows: pa.Table) -> "_Groups":
        columns = (rows[name].cast(pa.string()).to_pylist() for name in ("source", "form", "field"))
        every = list(zip(*columns, strict=True))
        kinds: dict[str, list[Group | None]] = {
            "source": [(source, None, None) for source, _, _ in every],
            "form": [None if form is None else (source, form, None) for source, form, _ in every],
            "field": [None if group[2] is None else group for group in every],
        }
        known: dict[Group, int] = {}
        places = {
            kind: np.array([-1 if group is None else known.setdefault(group, len(known)) for group in groups], np.int64)
            for kind, groups in kinds.items()
        }
        pages: dict[Any, int] = {}
        keys = zip(*(rows[name].to_pylist() for name in KEY), strict=True)
        return cls(places, list(known), np.array([pages.setdefault(key, len(pages)) for key in keys], np.int64))


Values = tuple[NDArray[np.int64], Numbers]  # the rows that have a value, and the values


def _own(rows: pa.Table) -> NDArray[np.int64]:
    """The rows whose answer, or the reason why there is none, is not in another row."""
    return np.flatnonzero(~np.isin(rows["status"].cast(pa.string()).to_numpy(), [*SAME]))


def _of_rows(rows: pa.Table) -> dict[str, Values]:
    status = rows["status"].cast(pa.string()).to_numpy()
    digit = rows["digit"].fill_null(-1).to_numpy()
    every, answered = _own(rows), np.flatnonzero(digit >= 0)
    status = status[every]
    confidence = rows["confidence"].to_numpy()[answered].astype(np.float64)
    found = {f"digit_{each}": (answered, (digit[answered] == each).astype(np.float64)) for each in range(CLASSES)}
    found["blank"] = every, (status == Status.BLANK).astype(np.float64)
    found["refused"] = every, np.isin(status, [*REFUSALS]).astype(np.float64)
    found["unreadable"] = every, (~np.isin(status, [*READ])).astype(np.float64)
    # A share, since the mean of so skewed a number says nothing of a small group.
    found["unsure"] = answered, (confidence < SURE).astype(np.float64)
    ink = rows["normalisation"].combine_chunks()
    shown = np.flatnonzero(pc.is_valid(ink).to_numpy(zero_copy_only=False) & (digit >= 0))
    seen = ink.take(pa.array(shown))
    column = {name: pc.struct_field(seen, name) for name in ("polarity", "threshold", "x", "y", "width", "height")}
    box = {name: column[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in [*column][1:]}
    found["inverted"] = shown, pc.equal(column["polarity"], "light_on_dark").to_numpy(zero_copy_only=False) * 1.0
    found |= {"contrast": (shown, box["threshold"]), "width": (shown, box["width"]), "height": (shown, box["height"])}
    alone = pc.is_null(rows["field"]).to_numpy()[shown]  # the box of a cell does not say where on its page it lies
    found["across"] = shown[alone], (box["x"] + box["width"] / 2)[alone]
    found["down"] = shown[alone], (box["y"] + box["height"] / 2)[alone]
    return found


def _of_pictures(rows: pa.Table, pictures: NDArray[np.uint8]) -> dict[str, Values]:
    answered = np.flatnonzero(rows["digit"].is_valid().to_numpy())
    seen = pictures[answered]
    measured = likeness.measured(seen)
    return {
        "stroke_width": (answered, measured["stroke_width"]),
        "ink_share": (answered, measured["ink_share"]),
        "slant": (answered, slant(seen)),
    }


def slant(pictures: NDArray[np.uint8]) -> Numbers:
    """By how many pixels the digits of N pictures, uint8 (N, 28, 28), lean to the right, for each pixel upwards.

    From the second moments of their ink, as in deslanting; NaN for what is one row high.
    """
    down, across = np.mgrid[:28, :28].reshape(2, -1).astype(np.float32)
    weights = np.stack([np.ones_like(down), across, down, across * down, down * down], axis=1)
    sums = pictures.reshape(-1, 28 * 28).astype(np.float32) @ weights
    x, y, xy, yy = (sums[:, 1:] / np.maximum(sums[:, :1], 1)).T
    height = (yy - y * y).astype(np.float64)
    return np.where(height > 0.1, -(xy - x * y) / np.maximum(height, 0.1), np.nan)


def _of_registrations(rows: pa.Table) -> dict[str, Values]:
    """The metrics of pages that were registered."""
    facts = rows["registration"].combine_chunks()
    known = pc.and_(pc.is_valid(facts), pc.is_valid(rows["form"].combine_chunks()))
    at = np.flatnonzero(known.to_numpy(zero_copy_only=False))
    of_pages = facts.take(pa.array(at))
    return {
        name: (at, pc.struct_field(of_pages, name).to_numpy(zero_copy_only=False).astype(np.float64))
        for name in ("residual", "printed", "seconds")
    }


def _of_cells(rows: pa.Table) -> dict[str, Values]:
    """Where on its form the first cell of each field lies, in pixels of the form's picture."""
    matrix, at, places = None, list[int](), list[Numbers]()
    columns = (rows[name].to_pylist() for name in ("registration", "position", "cell"))
    for row, (facts, position, cell) in enumerate(zip(*columns, strict=True)):
        matrix = facts["matrix"] if facts else matrix
        if position == 0 and cell and matrix:
            x, y, by = np.linalg.solve(np.reshape(matrix, (3, 3)), [*cell["corners"][:2], 1])
            at.append(row)
            places.append(np.array([x / by, y / by]))
    corners, of = np.reshape(places, (-1, 2)), np.array(at, np.int64)
    return {"across": (of, corners[:, 0]), "down": (of, corners[:, 1])}
