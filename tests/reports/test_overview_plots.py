"""The charts of the overview: lines, ranges and alerts at their places, and the scale beside them."""

import re

import numpy as np
import pytest

from mnist_batch.reports import drift, overview_plots, plots
from mnist_batch.reports.drift_metrics import METRICS, Seen
from mnist_batch.reports.overview_plots import GUTTER, HEIGHT, WIDTH
from tests.reports.test_drift import rows_of
from tests.support.run_facts import published

PIXELS = 5.8  # that a digit of the scale takes, nine pixels high; a comma takes half
ROOM = GUTTER - 5


def charts_of(*sources: str) -> overview_plots.Charts:
    nights = [published(run_id=f"run-{day}", run_date=f"2026-11-{day}", scans=100_000 * day) for day in (20, 21, 22)]
    rows = []
    for _ in nights:
        seen = Seen()
        for source in sources:
            answers: list[int | None] = [1] * 50 + [2] * 50
            seen.add(rows_of(answers, source=[source] * 100), np.full((100, 28, 28), 9, np.uint8))
        rows.append(drift.compare(seen.night(), [], "none")[1])
    return overview_plots.charts(nights, rows)


def test_the_scale_is_beside_the_lines_and_has_room_there() -> None:
    found = charts_of("/in/a", "/in/b")
    assert len(found.charts) > 5
    for chart in found.charts:
        places = [
            (float(x), float(y)) for _, line in chart.lines for x, y in (place.split(",") for place in line.split())
        ]
        places += [(dot.x, dot.y) for dot in chart.dots]
        assert places
        assert all(GUTTER < x < WIDTH and 0 < y < HEIGHT for x, y in places), chart.title
        for text in (chart.top, chart.bottom):
            assert PIXELS * (len(text) - len(re.findall(r"[., ]", text)) / 2) <= ROOM, text


@pytest.mark.parametrize("name", METRICS)
def test_a_scale_has_numbers_and_the_title_has_their_unit(name: str) -> None:
    text = METRICS[name].text
    scale, unit = overview_plots.scale(text, 0.125), overview_plots.unit(text)
    assert re.fullmatch(r"[\d.]+( %)?", scale)
    assert f"{scale} {unit}".strip() == text(0.125)


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["/in/harbour", "/in/station"], ["harbour", "station"]),
        (["/in/a", "/in/ab"], ["a", "ab"]),
        (["s3://bucket/in/a", "s3://bucket/in/b/c"], ["a", "b/c"]),
        (["/a/scans", "/b/scans"], ["a/scans", "b/scans"]),
        (["/in", "/in/a"], ["in", "in/a"]),
        (["one", "two"], ["one", "two"]),
    ],
)
def test_sources_are_named_without_the_folder_that_they_share(sources: list[str], names: list[str]) -> None:
    assert [name for name, _, _ in charts_of(*sources).sources] == names
    assert [source for _, source, _ in charts_of(*sources).sources] == sources


def test_one_source_alone_needs_no_key() -> None:
    assert charts_of("/in/a").sources == []


def test_the_page_draws_the_scale_left_of_the_lines() -> None:
    page = plots.overview_page(
        lines=[], first=14, night="2026-11-22", newest="2026-11-22", last=[], others=[], unpublished=[], fine=True,
        earlier=0, charts=charts_of("/in/a", "/in/b"), drift=None,
    )  # fmt: skip
    texts = re.findall(r"<text x=\"([\d.]+)\" y=\"[\d.]+\">", page)
    assert texts
    assert all(float(x) < GUTTER for x in texts)
    assert "text-anchor: end" in page
