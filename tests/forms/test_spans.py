"""Which cells hold the number of a field, worked by hand."""

import pytest

from mnist_batch.forms.form import Box, Digits, Field
from mnist_batch.forms.spans import FIELD_MEANINGS, FieldStatus, span

STATUSES = {"7": "ok", ".": "blank", "-": "crossed", "x": "not_a_digit", "2": "several", "c": "cut_off", "s": "shifted"}
STATUSES["u"] = "crashed"


def field(cells: int, digits: Digits, required: bool = False) -> Field:
    return Field("f", 0, tuple(Box(10 * at, 0, 10, 10) for at in range(cells)), digits, required)


@pytest.mark.parametrize(
    ("cells", "digits", "status", "at"),
    [
        ("777", Digits(1, 3, "right"), "ok", (0, 2)),
        (".77", Digits(1, 3, "right"), "ok", (1, 2)),
        ("-77", Digits(1, 3, "right"), "ok", (1, 2)),
        ("77.", Digits(1, 3, "left"), "ok", (0, 1)),
        ("77.", Digits(1, 3, "either"), "ok", (0, 1)),
        (".77", Digits(1, 3, "either"), "ok", (1, 2)),
        (".7.", Digits(1, 3, "either"), "incomplete", None),
        ("77.", Digits(1, 3, "right"), "incomplete", None),
        (".77", Digits(1, 3, "left"), "incomplete", None),
        ("7.7", Digits(1, 3, "right"), "incomplete", None),
        ("7-7", Digits(1, 3, "right"), "incomplete", None),
        (".77", Digits(3, 3, "right"), "incomplete", None),
        ("777", Digits(1, 2, "right"), "too_long", None),
        ("7x7", Digits(1, 3, "right"), "not_numeric", None),
        ("772", Digits(1, 3, "right"), "not_numeric", None),
        ("x77", Digits(1, 3, "either"), "not_numeric", None),
        ("xx7", Digits(1, 3, "right"), "ok", (2, 2)),
        (".x-7", Digits(1, 4, "right"), "ok", (3, 3)),
        ("77x", Digits(1, 3, "left"), "ok", (0, 1)),
        ("77x", Digits(1, 3, "right"), "not_numeric", None),
        ("77c", Digits(1, 3, "right"), "cut_off", None),
        ("sss", Digits(1, 3, "right"), "shifted", None),
        ("7u7", Digits(1, 3, "right"), "unreadable", None),
        ("...", Digits(1, 3, "right"), "empty", None),
        ("---", Digits(1, 3, "right"), "empty", None),
        ("xxx", Digits(1, 3, "right"), "empty", None),
        ("xxx", Digits(1, 3, "either"), "not_numeric", None),
    ],
)
def test_a_row_of_cells(cells: str, digits: Digits, status: str, at: tuple[int, int] | None) -> None:
    found = span(field(len(cells), digits), [STATUSES[cell] for cell in cells])
    assert found.status == status
    if at:
        assert (found.first, found.last) == at
    assert found.clear or found.reason
    assert found.status in FIELD_MEANINGS


@pytest.mark.parametrize(
    ("cells", "required", "status", "clear"),
    [
        ("...", False, "empty", True),
        ("...", True, "empty", False),
        ("---", False, "empty", True),
        ("---", True, "crossed", False),
        ("-..", False, "empty", False),
        ("-", False, "empty", False),
        (".", False, "empty", True),
        ("xxx", False, "empty", False),
        ("xxx", True, "crossed", False),
        ("-77", False, "ok", True),
        ("x77", False, "ok", False),
    ],
)
def test_what_may_be_accepted(cells: str, required: bool, status: str, clear: bool) -> None:
    found = span(field(len(cells), Digits(1, len(cells), "right"), required), [STATUSES[cell] for cell in cells])
    assert (found.status, found.clear) == (status, clear)
    assert clear == (found.reason is None)


def test_as_many_answers_as_cells_are_needed() -> None:
    with pytest.raises(ValueError, match="2 answers for 3 cells of f"):
        span(field(3, Digits(1, 3)), ["ok", "ok"])
    assert set(FIELD_MEANINGS) == set(FieldStatus)
