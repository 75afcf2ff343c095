"""Drift: a planted change is an alert, a resample is none, and parts add up to the whole."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnist_batch.learning import digits
from mnist_batch.reports import drift, drift_metrics, drift_text
from mnist_batch.reports.drift_metrics import METRICS, Moment, Seen
from mnist_batch.schemas import tables
from mnist_batch.schemas.drift_facts import Alert, Drift

SIDE = 28
Pictures = NDArray[np.uint8]
COLUMNS = ("source", "scan", "page", "status", "digit", "confidence", "decision", "normalisation", "form", "field")
SCHEMA = pa.schema([tables.PREDICTIONS.field(name).with_nullable(True) for name in COLUMNS])


def rows_of(answers: Sequence[int | None], pages: Sequence[int] | None = None, **columns: Any) -> pa.Table:
    """Rows of predictions with these answers, each on a page of its own if no other is given."""
    ink = {"polarity": "dark_on_light", "threshold": 50.0, "x": 10, "y": 8, "width": 20, "height": 30}
    rows = {
        "source": ["/in"] * len(answers),
        "scan": [str(page) for page in pages or range(len(answers))],
        "page": [0] * len(answers),
        "status": ["blank" if answer is None else "ok" for answer in answers],
        "digit": list(answers),
        "confidence": [None if answer is None else 0.999 for answer in answers],
        "decision": ["review" if answer is None else "accept" for answer in answers],
        "normalisation": [None if answer is None else ink for answer in answers],
        "form": [None] * len(answers),
        "field": [None] * len(answers),
    }
    return pa.table(rows | columns, schema=SCHEMA)


def night_of(rows: pa.Table, pictures: Pictures | None = None) -> dict[drift.Key, Moment]:
    seen = Seen(ruled=True)
    seen.add(rows, np.zeros((len(rows), SIDE, SIDE), np.uint8) if pictures is None else pictures)
    return seen.night()


def drawn(written: digits.Digits, count: int, random: np.random.Generator) -> tuple[pa.Table, Pictures]:
    """Scans of a night: digits of MNIST, read rightly."""
    at = random.integers(0, len(written.labels), count)
    return rows_of(written.labels[at].tolist()), written.images[at]


def thinned(pictures: Pictures) -> Pictures:
    """The pictures with a third of the ink taken from the edges of their strokes."""
    beside = [np.roll(pictures, by, axis) for axis in (1, 2) for by in (1, -1)]
    return np.minimum(pictures, np.mean([pictures, np.min(beside, axis=0)], axis=0).astype(np.uint8))


def changed(rows: pa.Table, name: str, value: Any) -> pa.Table:
    """The rows with another value of a part of their ``normalisation``."""
    ink = [None if each is None else each | {name: value} for each in rows["normalisation"].to_pylist()]
    at = rows.schema.get_field_index("normalisation")
    return rows.set_column(at, "normalisation", pa.array(ink, rows.schema.field(at).type))


@pytest.fixture(scope="module")
def nights() -> tuple[digits.Digits, list[dict[drift.Key, Moment]]]:
    """The digits of MNIST's test set, and nights of 400 of them."""
    written, random = digits.mnist("test"), np.random.default_rng(11)
    return written, [night_of(*drawn(written, 400, random)) for _ in range(34)]


def test_nights_of_one_source_raise_no_alert(nights: tuple[digits.Digits, list[dict[drift.Key, Moment]]]) -> None:
    _, every = nights
    for last in range(14, len(every)):
        found, _ = drift.compare(every[last], every[last - 14 : last], "runs")
        assert found.compared > 20
        assert found.alerts == ()


def test_planted_changes_are_found_in_the_first_night(
    nights: tuple[digits.Digits, list[dict[drift.Key, Moment]]],
) -> None:
    written, every = nights
    rows, pictures = drawn(written, 400, np.random.default_rng(12))
    light = changed(rows, "polarity", "light_on_dark")
    sevens = rows_of([7 if answer == 1 else answer for answer in rows["digit"].to_pylist()])
    blanks = rows_of([None if number % 20 == 0 else answer for number, answer in enumerate(rows["digit"].to_pylist())])
    leaning = np.stack([[np.roll(line, (14 - y) // 6) for y, line in enumerate(picture)] for picture in pictures])
    for metric, tonight in {
        "stroke_width": night_of(rows, thinned(pictures)),
        "slant": night_of(rows, leaning),
        "inverted": night_of(light, pictures),
        "digit_7": night_of(sevens, pictures),
        "blank": night_of(blanks, pictures),
    }.items():
        found, table = drift.compare(tonight, every[:14], "runs")
        alerts = {alert.metric: alert for alert in found.alerts}
        assert metric in alerts
        assert not alerts[metric].low <= alerts[metric].value <= alerts[metric].high
        assert sum(filter(None, table["alert"].to_pylist())) == found.alerting == len(alerts)
        assert drift.compare(tonight, [tonight] * 3, "runs")[0].alerting == 0


def test_an_odd_night_in_the_baseline_hides_no_change(
    nights: tuple[digits.Digits, list[dict[drift.Key, Moment]]],
) -> None:
    written, every = nights
    rows, pictures = drawn(written, 400, np.random.default_rng(13))
    thin = night_of(rows, thinned(pictures))
    before = [thin, *every[:13]]
    assert "stroke_width" in {alert.metric for alert in drift.compare(thin, before, "runs")[0].alerts}
    assert drift.compare(every[20], before, "runs")[0].alerts == ()
    # Once most nights are so, it is how nights are.
    assert drift.compare(thin, [thin] * 10 + every[:4], "runs")[0].alerts == ()


def test_the_chance_of_a_false_alarm_is_that_of_a_whole_night() -> None:
    """Nights of 20 groups, large and small, whose shares and means are drawn from the same distributions."""
    random = np.random.default_rng(3)

    def night() -> dict[drift.Key, Moment]:
        found: dict[drift.Key, Moment] = {}
        for group in range(20):
            rows = int(random.integers(30, 60 * (1 + group)))
            share = random.binomial(rows, 0.003 * (1 + group)) / rows
            values = random.gamma(9, size=rows)
            found[f"/{group}", None, None, "blank"] = Moment(rows, rows, share, (share * (1 - share) / rows) ** 0.5)
            error = float(values.std(ddof=1)) / rows**0.5
            found[f"/{group}", None, None, "contrast"] = Moment(rows, rows, float(values.mean()), error)
        return found

    every = [night() for _ in range(70)]
    false = [drift.compare(every[at], every[at - 14 : at], "runs")[0].alerting for at in range(14, len(every))]
    assert sum(map(bool, false)) <= 2  # 0.3 are expected of them


def test_pages_and_not_rows_are_independent() -> None:
    """Ten rows of a page are of one hand: they say as much as one row of it."""
    random = np.random.default_rng(5)
    answers = random.integers(0, 2, 200).tolist()
    alone = night_of(rows_of(answers))["/in", None, None, "digit_1"]
    copied = night_of(rows_of(np.repeat(answers, 10).tolist(), np.repeat(np.arange(200), 10).tolist()))
    assert copied["/in", None, None, "digit_1"] == (200, 2000, alone.value, pytest.approx(alone.error))
    assert alone.error == pytest.approx(np.std(answers, ddof=1) / 200**0.5)


def test_what_is_too_small_to_compare_is_kept_for_other_nights() -> None:
    few, many = night_of(rows_of([1] * 10)), night_of(rows_of([1] * 100))
    found, table = drift.compare(few, [many, many, many], "runs")
    assert (found.compared, table["alert"].null_count) == (0, len(few))
    assert drift.compare(many, [few], "runs")[0].compared == 0
    assert drift.night_of(table) == few


def test_a_source_that_no_night_knows_is_compared_with_all_sources() -> None:
    before = [night_of(rows_of([1, 2] * 50, source=["/monday"] * 100))] * 3
    same = night_of(rows_of([1, 2] * 50, source=["/tuesday"] * 100))
    other = night_of(rows_of([1, 9] * 50, source=["/tuesday"] * 100))
    assert drift.compare(same, before, "runs")[0].alerts == ()
    found, _ = drift.compare(other, before, "runs")
    assert {(alert.source, alert.metric) for alert in found.alerts} == {
        ("/tuesday", "digit_2"),
        ("/tuesday", "digit_9"),
    }


CELL = st.tuples(
    st.integers(0, 5), st.sampled_from(["/a", "/b"]), st.sampled_from([None, "x", "y"]), st.none() | st.integers(0, 9)
)


@settings(max_examples=30)
@given(st.lists(CELL, max_size=40), st.integers(0, 6))
def test_what_is_gathered_in_parts_is_what_is_gathered_at_once(
    cells: list[tuple[int, str, str | None, int | None]], cut: int
) -> None:
    """The parts of a run have whole pages."""

    def seen_of(chosen: list[tuple[int, str, str | None, int | None]]) -> Seen:
        pages, sources, fields, answers = zip(*chosen, strict=True) if chosen else ((), (), (), ())
        seen = Seen(ruled=True)
        columns = {"source": sources, "field": fields, "form": [None if each is None else "f" for each in fields]}
        seen.add(rows_of(answers, pages, **columns), np.full((len(chosen), SIDE, SIDE), 9, np.uint8))
        return seen

    whole, merged = seen_of(cells).night(), Seen(ruled=True)
    for part in ([each for each in cells if each[0] < cut], [each for each in cells if each[0] >= cut]):
        merged.merge(seen_of(part).as_json())
    assert merged.night().keys() == whole.keys()
    for key, moment in merged.night().items():
        assert tuple(moment) == pytest.approx(tuple(whole[key]), abs=1e-5)


COUNTS = st.integers(30, 10_000)


@settings(max_examples=60)
@given(st.lists(st.tuples(COUNTS, st.floats(0, 1)), min_size=1, max_size=20), COUNTS, st.floats(0, 1))
@example(history=[(30, 1.0), (30, 0.125), (925, 0.0)], rows=101, share=0.0)
def test_the_range_of_a_share_has_what_was_expected_and_only_what_can_be(
    history: list[tuple[int, float]], rows: int, share: float
) -> None:
    def moment(count: int, value: float) -> Moment:
        value = round(value * count) / count
        return Moment(count, count, value, (value * (1 - value) / count) ** 0.5)

    nights = [moment(*each) for each in history]
    for metric in ("blank", "slant"):
        prior = drift.Prior.of(METRICS[metric], "runs")
        narrow, wide = (drift.expected(METRICS[metric], moment(rows, share), nights, at, prior) for at in (1e-2, 1e-5))
        assert wide.low <= narrow.low <= narrow.value + 1e-9 <= narrow.high + 2e-9 <= wide.high + 3e-9
        assert metric == "slant" or 0 <= wide.low <= wide.high <= 1
        assert narrow.z == wide.z
        assert abs(narrow.z) <= 5 or not narrow.low <= moment(rows, share).value <= narrow.high


def test_slant_is_positive_to_the_right() -> None:
    picture = np.zeros((SIDE, SIDE), np.uint8)
    for y in range(4, 24):
        picture[y, 20 - y // 2] = 255  # one pixel to the right for two upwards
    upright = np.zeros((SIDE, SIDE), np.uint8)
    upright[4:24, 14] = 255
    flat = np.zeros((SIDE, SIDE), np.uint8)
    flat[14, 4:24] = 255
    found = drift_metrics.slant(np.stack([picture, picture[:, ::-1], upright, flat]))
    assert found[:3] == pytest.approx([0.5, -0.5, 0], abs=0.02)
    assert np.isnan(found[3])


def test_decisions_that_change_are_counted_anew() -> None:
    rows = rows_of([1] * 40)
    seen, pictures = Seen(ruled=True), np.full((40, SIDE, SIDE), 9, np.uint8)
    seen.add(rows, pictures)
    before = seen.night()
    seen.recount(rows.set_column(rows.schema.get_field_index("decision"), "decision", pa.array(["review"] * 40)))
    after = seen.night()
    key = "/in", None, None, "review"
    assert (before[key].value, after[key].value, after[key].rows) == (0, 1, 40)
    assert {name: moment for name, moment in after.items() if name[3] != "review"} == {
        name: moment for name, moment in before.items() if name[3] != "review"
    }


def test_every_metric_is_said_in_words() -> None:
    assert set(drift_text.MEANINGS) == set(METRICS)
    for metric in METRICS:
        low = Alert("/in", "turnout", "total", metric, 0.1, 0.2, 0.3, -6.0)
        found = Drift("runs", ("a", "b"), 30, 1, (low,))
        said = drift_text.sentence(found)
        assert said is not None
        assert said.startswith("drift: 1 metric of 30 beyond what the last 2 runs let expect: /in, form turnout, field")
        assert METRICS[metric].title in said
        assert drift_text.meaning(low) == drift_text.MEANINGS[metric][0]
    assert drift_text.sentence(Drift("none")) is None
    assert drift_text.sentence(Drift("runs", ("a",), 30)) == "drift: none; 30 metrics as run a let expect"


def test_where_a_field_lies_on_its_form_does_not_depend_on_how_the_page_lies() -> None:
    """The column of one field is printed three pixels further right on the pages of one night; pages lie askew."""
    random = np.random.default_rng(4)

    def night(field_x: float) -> dict[drift.Key, Moment]:
        count, cells, facts = 40, list[Any](), list[Any]()
        for page in range(2 * count):
            turn, size = random.uniform(-0.05, 0.05), random.uniform(0.9, 1.1)
            matrix = np.array(
                [[size, -turn, random.uniform(-40, 40)], [turn, size, random.uniform(-40, 40)], [0, 0, 1]]
            )
            x, y, _ = matrix @ [(field_x if page % 2 else 500.0) + random.normal(0, 0.3), 700.0, 1]
            cells.append({"x": 0, "y": 0, "width": 9, "height": 9, "corners": [x, y] + [0.0] * 6})
            facts.append({"matrix": matrix.ravel().tolist(), "residual": 0.4, "printed": 0.97, "seconds": 0.2})
        columns = {"form": ["f"] * 2 * count, "field": ["a", "b"] * count}
        rows = rows_of([1] * 2 * count, **columns)
        rows = rows.append_column("position", pa.array([0] * 2 * count, pa.int16()))
        rows = rows.append_column("cell", pa.array(cells, tables.PREDICTIONS.field("cell").type))
        rows = rows.append_column("registration", pa.array(facts, tables.REGISTRATION))
        return night_of(rows)

    before = [night(100.0) for _ in range(5)]
    assert before[0]["/in", "f", "b", "across"].value == pytest.approx(100, abs=0.3)
    assert before[0]["/in", "f", None, "residual"].value == pytest.approx(0.4)
    assert drift.compare(night(100.0), before, "runs")[0].alerts == ()
    found, _ = drift.compare(night(103.0), before, "runs")
    assert [(alert.form, alert.field, alert.metric) for alert in found.alerts] == [("f", "b", "across")]
    assert "further right" in drift_text.meaning(found.alerts[0])
