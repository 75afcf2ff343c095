"""The books of ``benchmarks.fortnight`` say what docs/nightly.md says, and a small fortnight comes out right."""

from pathlib import Path

import pytest

from benchmarks import fortnight
from benchmarks.fortnight_books import NONE, Answer, Books, Key, Run
from benchmarks.fortnight_checks import Checks, cells_of, counts, shown


def content(text: str) -> bytes:
    return text.encode()


def books_of(*names: str) -> Books:
    """Books of files in source /a, each with bytes of its own; of all letters the model reads a 1, and accepts it."""
    books = Books()
    for letter in "abcdefgh":
        for model in ("shipped", "ours"):
            books.answers[model, content(letter)] = Answer("ok", 1, letter != "h")
    for name in names:
        books.put(("/a", name), content(name))
    return books


def publish(books: Books, night: str) -> Run:
    run = books.night(night)
    assert run is not None
    run.published = True
    return run


def increment(books: Books) -> dict[str, int]:
    """The counts of the last night that are not 0."""
    return {name: count for name, count in books.increment.items() if count}


def test_what_is_renamed_copied_touched_or_changed_is_what_the_page_says_it_is() -> None:
    books = books_of("a", "b", "c", "d")
    publish(books, "1")
    assert increment(books) == {"listed": 4, "scored": 4}
    assert books.night("2") is None
    assert increment(books) == {"listed": 4, "known": 4}
    books.move(("/a", "a"), ("/a", "renamed"))
    books.put(("/b", "copy"), content("b"))
    books.put(("/a", "c"), content("c"))  # touched
    books.put(("/a", "d"), content("e"))  # changed
    books.put(("/a", "new"), content("f"))
    books.put(("/b", "new"), content("f"))
    run = publish(books, "3")
    assert increment(books) == {"listed": 7, "known": 1, "moved": 3, "repeated": 1, "scored": 2}
    rows = {key: (row.status, row.of, row.copies) for key, row in run.rows.items()}
    assert rows == {
        ("/a", "renamed"): ("known", ("1", ("/a", "a")), None),
        ("/b", "copy"): ("known", ("1", ("/a", "b")), None),
        ("/a", "c"): ("known", ("1", ("/a", "c")), None),
        ("/a", "d"): ("ok", None, 1),
        ("/a", "new"): ("ok", None, 2),
        ("/b", "new"): ("repeated", ("3", ("/a", "new")), None),
    }
    assert (counts(run)["rows"], run.accepted, run.review) == (6, 2, 0)
    assert books.night("4") is None


def test_what_is_held_waits_and_is_new_again_when_it_is_discarded() -> None:
    books = books_of("a")
    publish(books, "1")
    books.put(("/a", "b"), content("b"))
    assert books.night("2") is not None  # held
    books.put(("/a", "c"), content("c"))
    books.put(("/a", "copy"), content("b"))
    publish(books, "3")
    assert increment(books) == {"listed": 4, "known": 1, "held": 2, "scored": 1}
    books.discard("2")
    books.put(("/a", "b"), content("d"))
    run = publish(books, "2")
    assert increment(books) == {"listed": 4, "known": 2, "scored": 2}
    assert set(run.rows) == {("/a", "b"), ("/a", "copy")}


def test_another_model_leaves_what_is_answered_as_it_is() -> None:
    books = books_of("a")
    publish(books, "1")
    books.model = "ours"
    books.put(("/a", "b"), content("b"))
    assert publish(books, "2").model == "ours"
    assert increment(books) == {"listed": 2, "known": 1, "former": 1, "scored": 1}


def test_labels_go_to_the_bytes_that_lay_there_last_and_reports_before_are_counted() -> None:
    books = books_of("a", "b", "h")
    key: Key = ("/a", "a")
    books.truth[key] = 1
    first = publish(books, "1")
    assert (first.accuracy, first.review) == (1.0, 1)
    books.put(key, content("c"))
    books.truth |= {key: 7, ("/a", "b"): 7, ("/a", "h"): NONE}
    second = publish(books, "2")
    assert books.late() == {"1": (1, 1.0)}
    assert (len(first.labelled), first.accuracy, second.accuracy) == (2, 0.5, 0.0)
    assert (first.labels[key], second.labels[key], first.former) == (1, 7, [(1, 1.0)])
    assert books.late() == {}


def test_a_value_that_is_not_as_it_should_be_is_found() -> None:
    checks = Checks()
    checks.same("of mappings", {"a": 1, "c": 1}, {"a": 1, "b": 2})
    checks.same("share", 0.1 + 0.2, 0.3)
    checks.same("count", 2, 1)
    assert (checks.compared, len(checks.wrong)) == (5, 3)


def test_the_line_of_a_run_on_the_page_is_read_as_it_is_shown() -> None:
    books = books_of("a", "b")
    books.truth = {("/a", "a"): 1, ("/a", "b"): 2}
    run = publish(books, "2026-11-01")
    line = cells_of(run, "run", "0", "–", "56c30674")
    cells = "".join(f"<td class='left'>{cell}</td>" for cell in ("", *line[:-1], "0.1", line[-1]))
    assert line == ["2026-11-01", "run", "2", "0.00 %", "0.00 %", "50.00 % 9.45–90.55", "–", "0", "56c30674"]
    assert shown(f'<tr><th>night</th></tr>\n<tr class="bad">{cells}</tr>') == {"run": ["", *line[:-1], "0.1", line[-1]]}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_small_fortnight_comes_out_right(tmp_path: Path) -> None:
    small = ["--scans", "40", "--target-error", "0.05", "--results", str(tmp_path / "results.json")]
    assert fortnight.main(small) == 0
