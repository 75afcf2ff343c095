"""Small charts over nights, as coordinates for inline SVG: lines, the range that was expected, and the alerts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch.reports.drift_metrics import METRICS
from mnist_batch.schemas.facts import Published

WIDTH, HEIGHT = 250, 76  # of a chart, in pixels
GUTTER = 52  # pixels of it, at the left, that have the scale
EDGE = 6  # pixels that are free around the lines
MOST_SOURCES = 6  # that have lines of their own
COLOURS = ("#1f4e79", "#c2701c", "#3a7d44", "#7b4ea3", "#8a6d3b", "#2a8fa8")
METRICS_SHOWN = (
    *("blank", "refused", "unsure", "inverted", "contrast", "stroke_width", "ink_share", "slant", "width", "height"),
    *("across", "down"),
)
Text = Callable[[float], str]


@dataclass(frozen=True)
class Point:
    """A value of a run, ``at`` its place in the row of runs; ``low`` and ``high`` are the range that was expected."""

    at: int
    value: float
    low: float | None = None
    high: float | None = None
    alert: bool = False


@dataclass(frozen=True)
class Dot:
    """A point to draw: where, in what colour, what to say of it, and whether it is an alert."""

    x: float
    y: float
    colour: str
    said: str
    alert: bool


@dataclass(frozen=True)
class Chart:
    """A chart: its title, the newest value and whether that is an alert, the ends of its scale, and what to draw.

    ``lines`` are the colour and points of each, ``band`` the corners of the range that was expected.
    """

    title: str
    newest: str
    alert: bool
    top: str
    bottom: str
    lines: Sequence[tuple[str, str]]
    band: str
    dots: Sequence[Dot]


@dataclass(frozen=True)
class Charts:
    """The charts of a page, and the sources that have lines of their own: how each is called, itself, its colour."""

    charts: Sequence[Chart]
    sources: Sequence[tuple[str, str, str]]
    width: int = WIDTH
    height: int = HEIGHT
    gutter: int = GUTTER
    edge: int = EDGE


def charts(runs: Sequence[Published], drifts: Sequence[pa.Table]) -> Charts:
    """Charts of runs, the oldest first, and of their tables ``drift``; what has no value, or 0 only, has no chart."""
    nights = [run.run_date for run in runs]
    counts: list[tuple[str, Callable[[Published], float | None], Text]] = [
        ("scans", lambda run: run.scans, "{:,.0f}".format),
        ("rows that could not be read", lambda run: run.totals.unreadable / max(run.totals.rows, 1), _percent),
        ("for review", _review, _percent),
        ("right, of the labelled", lambda run: (run.field_totals or run.totals).accuracy, _percent),
        ("seconds a scan", lambda run: run.scoring_seconds / run.scans if run.scans else None, "{:.3f}".format),
    ]
    found = []
    for title, value_of, text in counts:
        points = [Point(at, value) for at, run in enumerate(runs) if (value := value_of(run)) is not None]
        found.append(_chart(title, {None: points}, nights, text))
    rows = [table.filter(pc.is_null(table["form"])).to_pylist() for table in drifts]
    sources = _sources(rows)
    called = _called(sources) if len(sources) > 1 else [None]
    for metric in METRICS_SHOWN:
        points_of = {name: _points(rows, metric, source) for name, source in zip(called, sources, strict=True)}
        found.append(_chart(METRICS[metric].title, points_of, nights, METRICS[metric].text))
    key = [(str(name), str(source), colour) for name, source, colour in zip(called, sources, COLOURS, strict=False)]
    return Charts([chart for chart in found if chart], key if len(sources) > 1 else [])


def _review(run: Published) -> float | None:
    if run.field_totals:
        return None if run.field_totals.review is None else run.field_totals.review / max(run.field_totals.fields, 1)
    return None if run.totals.review is None else run.totals.review / max(run.totals.rows, 1)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _sources(rows: Sequence[Sequence[Mapping[str, Any]]]) -> list[str | None]:
    """The sources that have lines of their own: those of most runs if they are few, else all sources together."""
    seen = Counter(name for each in rows for name in {row["source"] for row in each} if name is not None)
    often = sorted(name for name, times in seen.items() if times > len(rows) / 2)
    return [*often] if 0 < len(often) <= MOST_SOURCES else [None]


def _called(sources: Sequence[str | None]) -> list[str | None]:
    """How sources are called beside each other: without the folder that all lie in."""
    paths, shared = [str(source).rstrip("/").split("/") for source in sources], 0
    while all(len(path) > shared + 1 and path[shared] == paths[0][shared] for path in paths):
        shared += 1
    return ["/".join(path[shared:]) for path in paths]


def scale(text: Text, value: float) -> str:
    """A value at the end of a scale: its number, and the sign of a share."""
    number, _, of = text(value).partition(" ")
    return f"{number} %" if of == "%" else number


def unit(text: Text) -> str:
    """What the numbers of a scale count, if that is not said beside them."""
    of = text(0).partition(" ")[2]
    return "" if of == "%" else of


def _points(rows: Sequence[Sequence[Mapping[str, Any]]], metric: str, source: str | None) -> list[Point]:
    found = []
    for at, each in enumerate(rows):
        for row in each:
            if row["metric"] == metric and row["source"] == source:
                found.append(Point(at, row["value"], row["low"], row["high"], bool(row["alert"])))
    return found


def _chart(title: str, points: Mapping[str | None, Sequence[Point]], nights: Sequence[str], text: Text) -> Chart | None:
    every = [point for line in points.values() for point in line]
    if not any(point.value for point in every):
        return None
    banded = [point for point in every if point.low is not None] if len(points) == 1 else []
    values = [point.value for point in every]
    low, high = min(values), max(values)
    # A range that is far wider than the values would press them flat: it is drawn as far as there is room.
    room = max(high - low, 1e-3 * abs(high), 1e-9)
    low = max(min([low, *(point.low or 0 for point in banded)]), low - room)
    high = min(max([high, *(point.high or 0 for point in banded)]), high + room)
    span = max(high - low, 1e-9)

    def place(at: int, value: float) -> tuple[float, float]:
        x = GUTTER + EDGE + (WIDTH - GUTTER - 2 * EDGE) * (at / (len(nights) - 1) if len(nights) > 1 else 0.5)
        share = min(max((value - low) / span, 0), 1)
        return round(x, 1), round(HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * share, 1)

    lines, dots = [], []
    for colour, (name, line) in zip(COLOURS, points.items(), strict=False):
        lines.append((colour, _path([place(point.at, point.value) for point in line])))
        last = line[-1:] if len(points) == 1 else []
        for point in [*(point for point in line if point.alert), *(each for each in last if not each.alert)]:
            said = f"{nights[point.at]}{f', {name}' if name else ''}: {text(point.value)}"
            dots.append(Dot(*place(point.at, point.value), colour, said, point.alert))
    upper = [place(point.at, point.high or 0) for point in banded]
    lower = [place(point.at, point.low or 0) for point in reversed(banded)]
    newest = [line[-1] for line in points.values() if line and line[-1].at == len(nights) - 1]
    return Chart(
        title=f"{title}, {unit(text)}" if unit(text) else title,
        newest=scale(text, newest[0].value) if len(newest) == 1 else "",
        alert=any(point.alert for point in newest),
        top=scale(text, high),
        bottom=scale(text, low),
        lines=lines,
        band=_path(upper + lower),
        dots=dots,
    )


def _path(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in places)
