"""Two runs compared: by key and content, class by class, and worse only beyond noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import compare, score
from mnist_batch.reports import comparing
from mnist_batch.schemas import tables
from tests.support.ruler import NARROWEST, calibrated, write_ruler, write_scan
from tests.support.running import Capture, ran

pytestmark = pytest.mark.long

SCHEMA = pa.schema([item.with_nullable(True) for item in tables.PREDICTIONS])


def rows(*answers: tuple[str, int | None, int | None], **same: Any) -> pa.Table:
    """Rows of predictions: scan, digit (None: refused) and label."""
    whole = [
        {"source": "/in", "scan": scan, "page": 0, "status": "not_a_digit" if digit is None else "ok", "digit": digit}
        | {"confidence": None if digit is None else 0.9, "label": label, "content": scan.encode().ljust(16)}
        | same
        for scan, digit, label in answers
    ]
    return pa.Table.from_pylist(whole, SCHEMA)


def compared(a: pa.Table, b: pa.Table) -> comparing.Comparison:
    return comparing.compare(comparing.cells(a), comparing.cells(b))[0]


def test_rows_are_joined_by_key_whatever_their_order_and_the_labels_of_one_run_serve_both() -> None:
    a = rows(("1.png", 1, 1), ("2.png", 2, 2), ("3.png", 3, 3), ("x.png", 7, -1), ("only a.png", 5, 5))
    b = rows(("x.png", None, None), ("3.png", 8, None), ("2.png", 2, None), ("1.png", 1, None), ("only b.png", 5, 5))
    comparison, differing = comparing.compare(comparing.cells(a), comparing.cells(b))
    assert (comparison.compared, comparison.only_a, comparison.only_b, comparison.differing) == (4, 1, 1, 2)
    assert [(each.name, each.lost, each.gained) for each in comparison.classes if each.lost or each.gained] == [
        ("3", 1, 0),
        ("none", 0, 1),
    ]
    assert a.take(differing["row_a"])["scan"].to_pylist() == ["3.png", "x.png"]  # what is lost comes first
    assert b.take(differing["row_b"])["scan"].to_pylist() == ["3.png", "x.png"]


def test_a_scan_that_changed_or_was_not_read_is_not_compared() -> None:
    changed = rows(("1.png", 2, 1), content=b"another content!")
    assert compared(rows(("1.png", 1, 1)), changed).changed == 1
    unread = rows(("1.png", None, 1), status="undecodable")
    found = compared(rows(("1.png", 1, 1)), unread)
    assert (found.compared, found.unread, found.total.lost) == (0, 1, 0)


def test_a_class_is_worse_beyond_noise_only() -> None:
    def runs(lost: int, gained: int) -> tuple[pa.Table, pa.Table]:
        names = [f"{number}.png" for number in range(200)]
        right = rows(*((name, 4, 4) for name in names), *((f"other {name}", 5, 5) for name in names))
        before = rows(*((name, 9 if at < gained else 4, 4) for at, name in enumerate(names)))
        after = rows(*((name, 9 if gained <= at < gained + lost else 4, 4) for at, name in enumerate(names)))
        others = right.slice(200)
        return pa.concat_tables([before, others]), pa.concat_tables([after, others])

    assert compared(*runs(3, 1)).worse == ()
    assert compared(*runs(20, 4)).worse == ("4",)
    assert compared(*runs(4, 20)).worse == ()


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_that_of_scipys_binomial_test(lost: int, gained: int) -> None:
    from scipy.stats import binomtest

    expected = binomtest(lost, lost + gained, 0.5).pvalue if lost + gained else 1.0
    assert comparing.mcnemar(lost, gained) == pytest.approx(expected)


def test_equally_good_runs_are_seldom_called_worse() -> None:
    drawn = np.random.default_rng(4).binomial(30, 0.5, (500, 10))
    nights = [
        comparing._judged(
            [comparing.ClassChange(str(at), 300, 0, 0, int(lost), 30 - int(lost), 1) for at, lost in enumerate(night)]
        )
        for night in drawn
    ]
    assert sum(any(each.worse for each in night) for night in nights) <= 0.06 * len(nights)


@given(
    st.lists(st.tuples(st.sampled_from([0.2, 0.5, 0.9]), st.booleans()), max_size=30),
    st.sampled_from(comparing.TARGETS),
)
def test_no_threshold_accepts_more_at_an_error_than_coverage_says(
    answers: list[tuple[float, bool]], target: float
) -> None:
    confidence = np.array([sure for sure, _ in answers], np.float32)
    right = np.array([is_right for _, is_right in answers], bool)
    accepted = [confidence >= np.float32(threshold) for threshold in (0.2, 0.5, 0.9)]
    kept = [at.mean() for at in accepted if at.any() and (~right[at]).sum() <= target * at.sum()]
    assert comparing.coverage(confidence, right, target) == pytest.approx(max(kept, default=0))


def test_a_run_by_a_worse_model_ends_with_4_and_a_page_that_shows_what_is_lost(
    tmp_path: Path, ruler: str, without_ray: None, capsys: Capture
) -> None:
    for number in range(10):
        write_scan(tmp_path / "in" / "7" / f"{number}.png", 7)
    (tmp_path / "wrong").mkdir()
    models = {
        "a": ruler,
        "b": calibrated(ruler, tmp_path / "b", temperature=2),
        "c": write_ruler(tmp_path / "wrong", NARROWEST + 1),
    }
    out = tmp_path / "out"
    for run, model in models.items():
        said = ("--model", model, "--labels", "parent", "--out", out, "--run-id", run)
        assert ran(capsys, score, tmp_path / "in", *said)[0] == 0

    code, printed, last = ran(capsys, compare, "--out", out, "--a", "a", "--b", "b")
    assert (code, last["answers"]["compared"], last["answers"]["differing"], last["worse"]) == (0, 10, 0, [])
    assert "No class is worse beyond noise." in printed

    code, printed, last = ran(capsys, compare, "--out", out, "--a", "a", "--b", "c")
    assert (code, last["answers"]["total"]["lost"], last["worse"]) == (4, 10, ["7"])
    assert Path(last["page"]).read_text().count("a: 7, b: 6") == 10


def test_what_cannot_be_compared_is_exit_2(tmp_path: Path, ruler: str, without_ray: None, capsys: Capture) -> None:
    out = tmp_path / "out"
    for run in "ab":
        write_scan(tmp_path / run / "7" / "1.png", 7)
        assert ran(capsys, score, tmp_path / run, "--model", ruler, "--out", out, "--run-id", run)[0] == 0
    for a, b, said in (("a", "typo", "typo"), ("a", "a", "--b"), ("a", "b", "no scan was read in both")):
        code, _, last = ran(capsys, compare, "--out", out, "--a", a, "--b", b)
        assert code == 2
        assert said in last["error"]
