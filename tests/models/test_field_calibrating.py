"""What labelled fields certify, worked by hand on rows of the table of fields."""

import pyarrow as pa

from mnist_batch.models import field_calibrating
from mnist_batch.schemas import tables

SCHEMA = pa.schema([item.with_nullable(True) for item in tables.FIELDS])


def rows(*fields: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist([{"status": "ok"} | field for field in fields], SCHEMA)


def test_clear_fields_with_a_label_certify_and_the_rightly_empty_are_the_surest() -> None:
    fields = rows(
        {"value": "12", "confidence": 0.9, "label": "12"},
        {"value": "12", "confidence": 0.8, "label": "17"},
        {"value": "12", "confidence": 0.7, "label": "12", "reason": "repaired: its cells alone read 17"},
        {"value": "12", "confidence": 0.6, "label": None},
        {"value": "12", "confidence": 0.95, "label": "13", "reason": "never accepted: its check digit is wrong"},
        {"status": "incomplete", "reason": "cell 2 is blank between digits", "label": "1"},
        {"status": "empty", "label": ""},
        {"status": "empty", "label": "4"},
    )
    found = field_calibrating.certified("fields", fields)
    assert (found.name, found.digits) == ("fields", 7)
    last = found.thresholds[-1]
    assert (last.accepted, last.errors) == (5, 2)
    at = {round(each.threshold, 2): (each.accepted, each.errors) for each in found.thresholds}
    assert at[0.9] == (3, 1)
    assert at[0.7] == (5, 2)


def test_the_labelled_fields_of_each_source_certify_for_themselves() -> None:
    fields = rows(
        *({"source": "/a", "value": "1", "confidence": 0.9, "label": "1"} for _ in range(30)),
        *({"source": "/b", "value": "1", "confidence": 0.9, "label": "2"} for _ in range(20)),
        {"source": "/c", "value": "1", "confidence": 0.9},
    )
    found = field_calibrating.by_source(fields)
    assert [(each.name, each.digits, each.thresholds[-1].errors) for each in found] == [("/a", 30, 0), ("/b", 20, 20)]


def test_without_a_field_that_may_be_accepted_nothing_is_certified() -> None:
    assert field_calibrating.certified("fields", rows({"value": "1", "confidence": 0.9})).thresholds == ()
    assert field_calibrating.certified("fields", SCHEMA.empty_table()).digits == 0
