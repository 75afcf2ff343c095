"""True numbers in fields, as people and spreadsheets write them."""

from pathlib import Path

import pytest

from mnist_batch.errors import InputError
from mnist_batch.forms.form import Box, Digits, Field, Form, FormPage
from mnist_batch.intake.field_values import read, value_at, value_of


def field(least: int, most: int) -> Field:
    return Field("votes", 0, (Box(0, 0, 20, 30),) * most, Digits(least, most))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("042", "042"),
        (42, "42"),
        (42.0, "42"),
        ("42,0", "42"),
        ("'042", "042"),
        (" 4 2 ", "42"),
        ("NONE", ""),
        ("", None),
    ],
)
def test_what_a_table_holds_is_the_number_that_was_meant(written: object, value: str | None) -> None:
    assert value_of("line 2", [field(1, 4)], written) == value


def test_leading_zeros_come_back_only_where_every_form_has_as_many_digits() -> None:
    assert value_of("line 2", [field(4, 4)], 42) == "0042"
    assert value_of("line 2", [field(4, 4), field(4, 4)], 42) == "0042"
    assert value_of("line 2", [field(4, 4), field(1, 4)], 42) == "42"
    assert value_of("line 2", [field(3, 3), field(4, 4)], 42) == "42"


@pytest.mark.parametrize("written", ["12345", "4a", "-4", "4.5"])
def test_anything_else_is_refused_with_its_line(written: str) -> None:
    with pytest.raises(InputError, match="^line 2: value is "):
        value_of("line 2", [field(1, 4)], written)


def test_a_page_that_its_scan_does_not_have_is_refused_or_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody counted pages from 1; where the number of pages is not known, any page may be there."""
    of_form = Form("tally", None, (FormPage("1.png", 100, 100),), (field(1, 4),))
    pages = {("/in", "a.pdf"): 2, ("/in", "b.pdf"): None}
    file = tmp_path / "truth.csv"
    rows = ["scan,page,field,value", "a.pdf,1,votes,12", "b.pdf,9,votes,13", "a.pdf,2,votes,14", "c.pdf,0,votes,15"]
    file.write_text("\n".join(rows) + "\n")
    with pytest.raises(InputError, match=r"line 4: page is 2; 'a.pdf' has 2 pages, counted from 0\. With --ignore"):
        read(pages, str(file), [of_form])
    with caplog.at_level("INFO"):
        found = read(pages, str(file), [of_form], ignore_unlisted=True)
    assert found == {("/in", "a.pdf"): [(1, "votes", "12")], ("/in", "b.pdf"): [(9, "votes", "13")]}
    assert "2 rows of scans or pages that are not listed; they are ignored" in caplog.text


def test_a_number_with_a_page_is_that_of_its_page_and_one_without_is_of_all() -> None:
    values = [
        {"page": None, "field": "votes", "value": "1"},
        {"page": 2, "field": "votes", "value": "3"},
        {"page": 2, "field": "seats", "value": "4"},
    ]
    assert [value_at(values, page, "votes") for page in (0, 2)] == ["1", "3"]
    assert value_at(values, 0, "seats") is None
    assert value_at(None, 0, "votes") is None
