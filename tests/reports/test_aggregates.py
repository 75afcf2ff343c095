"""What is gathered of a run's rows does not depend on the parts they came in."""

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_batch.reports import counting
from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.schemas import tables
from tests.support.rows import DIGIT, LABEL, SURE, Row


@given(st.lists(st.tuples(LABEL, DIGIT, SURE), max_size=100), st.integers(0, 100), st.none() | st.just(0.5))
def test_what_is_gathered_in_parts_is_what_is_gathered_at_once(
    rows: list[Row], cut: int, threshold: float | None
) -> None:
    """The driver merges what each writer gathered of its part: counts, confidences and the choice of examples."""
    columns = {name: [] for name in tables.SHOWN}
    for number, (label, digit, sure) in enumerate(rows):
        status = "ok" if digit is not None else ("blank", "several", "missing")[number % 3]
        accept = None if threshold is None else "accept" if digit is not None and sure >= threshold else "review"
        values = [
            "/in",
            f"{number:03}",
            0,
            label,
            digit,
            sure if digit is not None else None,
            accept,
            status,
            *[None] * 5,
        ]
        for name, value in zip(tables.SHOWN, values, strict=True):
            columns[name].append(value)
    schema = pa.schema([tables.PREDICTIONS.field(name).with_nullable(True) for name in tables.SHOWN])
    table = pa.table(columns, schema=schema)
    whole, merged, parts = Aggregates.of_run(threshold), Aggregates.of_run(threshold), []
    whole.add(table)
    for part in (table.slice(0, cut), table.slice(cut)):
        one = Aggregates.of_run(threshold)
        one.add(part)
        parts.append(one.table())
    merged.merge(parts)
    assert merged.totals() == replace(whole.totals(), expected_calibration_error=merged.confidences.error())
    assert merged.confidences.error() == pytest.approx(whole.confidences.error())
    assert counting.confusion(merged.counts).equals(counting.confusion(whole.counts))
    assert merged.confidences.risk_coverage().equals(whole.confidences.risk_coverage())
    assert merged.examples.table().equals(whole.examples.table())
