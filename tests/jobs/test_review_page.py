"""The page of a review in a real browser: keys and buttons answer; what is decided is kept and goes back to the run."""

import csv
import io
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import report
from tests.jobs.test_review import out as out
from tests.jobs.test_review import pack_of, wrote
from tests.jobs.test_review import unread as unread
from tests.support import browser, field_run
from tests.support.running import Capture, ran

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    if browser.PROGRAM is None:
        assert "CI" not in os.environ, "no Chromium, and CI has to try the page in one"
        pytest.skip("no Chromium is installed")
    with browser.browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(chromium: browser.Page, tmp_path: Path) -> Iterator[browser.Page]:
    """A browser that has kept nothing; whatever it complains of fails the test."""
    chromium.ask("Page.navigate", url="about:blank")
    chromium.events.clear()
    yield chromium
    assert chromium.complaints() == []
    chromium.open(tmp_path / "review/review.html")
    chromium.run("localStorage.clear()")


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_keys_answer_and_what_is_saved_goes_back_to_the_run(
    page: browser.Page, out: Path, tmp_path: Path, capsys: Capture
) -> None:
    wrote(capsys, out)
    items = pack_of(tmp_path / "review/review.html")["items"]
    scans = [item["row"]["scan"] for item in items]
    page.open(tmp_path / "review/review.html")
    page.until("document.querySelector('#crop img').naturalWidth > 0")
    assert page.text("#group") == f"{items[0]['group']} (1 of 10)"
    assert f"Read as {items[0]['suggestion']} (" in page.text("#readings")
    page.press("Enter", "7", "Enter", "n")  # take, another digit, take, nothing
    assert page.text("#count") == "4 of 10 decided"
    page.press("Backspace", "Backspace", "Backspace")  # back to the second
    assert page.text("#answer") == "Decided: 7"
    page.press("Enter", "ArrowRight", "ArrowRight")  # what was decided stays
    page.press("ArrowRight", *["Enter"] * 5)  # the fifth is left open
    assert page.text("#ended") == "1 left open"
    page.press("Enter", "9")  # of no item
    content = page.downloaded("#save", tmp_path, "corrections.csv")
    rows = rows_of(content)
    expected = [item["suggestion"] for item in items]
    expected[1], expected[3] = "7", "none"
    del scans[4], expected[4]
    assert [(row["scan"], row["label"], row["page"]) for row in rows] == [
        (scan, label, "0") for scan, label in zip(scans, expected, strict=True)
    ]
    assert list(rows[0]) == ["scan", "page", "label", "source"]
    code, _, summary = ran(capsys, report, "--out", out, "--run", "night", "--labels", tmp_path / "corrections.csv")
    assert (code, summary["labelled"]) == (0, sum(label != "none" for label in expected))
    assert all(url.startswith("file:///") for url in page.requests())


def opened_again(page: browser.Page, path: Path, count: str) -> None:
    """Open a page until it knows so much; a browser takes a moment to pass on what another page has just stored."""
    deadline = time.monotonic() + browser.PATIENCE_SECONDS
    page.open(path)
    while page.text("#count") != count:
        assert time.monotonic() < deadline, f"{page.text('#count')}, and not {count}"
        page.open(path)


def test_what_is_decided_is_kept_when_the_page_is_closed(
    page: browser.Page, out: Path, tmp_path: Path, capsys: Capture
) -> None:
    wrote(capsys, out, "--most", 6)
    first = tmp_path / "review/review.html"
    page.open(first)
    page.press("5", "Enter", "8")
    opened_again(page, first, "3 of 6 decided")
    assert "(4 of 6)" in page.text("#group")
    page.press("ArrowLeft")
    assert page.text("#answer") == "Decided: 8"
    page.ask("Page.navigate", url="about:blank")  # its pictures may still be loading
    (tmp_path / "review").rename(tmp_path / "small")
    wrote(capsys, out)  # a larger pack of the same run knows what was decided
    opened_again(page, first, "3 of 10 decided")
    page.press(*["Enter"] * 10)
    opened_again(page, tmp_path / "small/review.html", "6 of 6 decided")
    page.press("ArrowLeft", "6")  # the small one knows nothing of the others, and leaves them
    opened_again(page, first, "10 of 10 decided")


def test_two_windows_do_not_overwrite_what_the_other_decides(
    page: browser.Page, out: Path, tmp_path: Path, capsys: Capture
) -> None:
    wrote(capsys, out)
    path = tmp_path / "review/review.html"
    page.open(path)
    ids = [item["id"] for item in pack_of(path)["items"]]
    page.press("1")
    page.run(f"localStorage.setItem(stored({{id: {ids[4]!r}}}), '9')")  # as another window would
    page.press("2")
    opened_again(page, path, "3 of 10 decided")


def test_buttons_do_what_keys_do_and_do_not_catch_the_next_enter(
    page: browser.Page, out: Path, tmp_path: Path, capsys: Capture
) -> None:
    wrote(capsys, out)
    page.open(tmp_path / "review/review.html")
    page.click("#digit-4")
    page.press("Enter")  # takes the second item, and does not press 4 again
    page.click("#nothing")
    page.click("#back")
    assert page.text("#answer") == "Decided: nothing valid"
    items = pack_of(tmp_path / "review/review.html")["items"]
    rows = rows_of(page.downloaded("#save", tmp_path, "corrections.csv"))
    assert [row["label"] for row in rows] == ["4", items[1]["suggestion"], "none"]


def test_the_page_fits_a_small_window_and_a_browser_without_storage_says_so(
    page: browser.Page, out: Path, tmp_path: Path, capsys: Capture
) -> None:
    wrote(capsys, out)
    page.ask("Emulation.setDeviceMetricsOverride", width=400, height=500, deviceScaleFactor=2, mobile=False)
    page.open(tmp_path / "review/review.html")
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    assert page.run("document.querySelector('#unkept').hidden")
    page.run("Storage.prototype.setItem = () => { throw new Error('full') }")
    page.press("Enter")
    assert not page.run("document.querySelector('#unkept').hidden")
    assert page.text("#count") == "1 of 10 decided"
    page.ask("Emulation.clearDeviceMetricsOverride")


def test_the_audit_is_read_blind_and_its_sheet_states_the_error(
    page: browser.Page, unread: None, out: Path, tmp_path: Path, capsys: Capture
) -> None:
    wrote(capsys, out, "--most", 1, "--audit", 5)
    assert ran(capsys, report, "--out", out, "--run", "night", "--audit", 5)[0] == 0
    page.open(tmp_path / "review/review.html")
    page.press("Enter", "Enter")
    assert page.text("#answer") == "Type what is written"
    assert page.text("#readings") == ""
    page.press(*"12345")
    assert page.text("#ended") == "All is decided"
    sheet = rows_of(page.downloaded("#save-audit", tmp_path, "audit.csv"))
    assert [row["label"] for row in sheet] == list("12345")
    code, _, summary = ran(capsys, report, "--out", out, "--run", "night", "--audit-labels", tmp_path / "audit.csv")
    assert (code, summary["sample_error"]["labelled"]) == (0, 5)
    drawn = pack_of(tmp_path / "review/review.html")["items"][1:]
    right = [str(int(re.sub(r"\D", "", item["row"]["scan"])) % 10) for item in drawn]
    assert summary["sample_error"]["wrong"] == sum(label != digit for label, digit in zip("12345", right, strict=True))


def test_numbers_are_typed_digit_by_digit_and_one_digit_goes_on_at_once(
    page: browser.Page, tmp_path: Path, capsys: Capture
) -> None:
    field_run.written(tmp_path)
    wrote(capsys, tmp_path / "out", "--audit", 1)
    items = pack_of(tmp_path / "review/review.html")["items"]
    assert [item["digits"] for item in items] == [3, 3, 3, 1, 1, 1, items[6]["digits"]]
    page.open(tmp_path / "review/review.html")
    page.until("document.querySelector('#crop img').naturalWidth > 0")
    assert page.run("document.querySelectorAll('#crop i').length") == 3
    page.press("0", "4", "5", "6")  # a fourth digit has no cell
    assert page.text("#answer") == "045"
    page.press("Backspace", "Backspace", "7")
    assert page.text("#answer") == "07"
    page.press("Enter", "Enter")  # and the suggestion of the second
    page.press("Enter")  # the third has none
    assert page.text("#answer") == "Type what is written"
    page.press("n", "1", "Enter", "5")
    assert page.text("#count") == "6 of 7 decided"
    assert page.text("#readings") == page.text("#note") == ""  # the last was accepted, and is read blind
    assert page.run("document.querySelector('#save-audit').hidden")
    rows = rows_of(page.downloaded("#save", tmp_path, "corrections.csv"))
    assert list(rows[0]) == ["scan", "page", "field", "value", "source"]
    assert [(row["scan"], row["page"], row["field"], row["value"]) for row in rows] == [
        ("2.png", "0", "ballots", "07"),
        ("0.png", "0", "ballots", "123"),
        ("1.png", "0", "ballots", "none"),
        ("2.png", "0", "spoilt", "1"),
        ("3.png", "0", "spoilt", "7"),
        ("1.png", "0", "spoilt", "5"),
    ]
    assert {row["source"] for row in rows} == {str(tmp_path / "in")}
