"""A user's own labelled scans: what is learned from, what is held out, and what is said of the others."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import session, train
from mnist_batch.errors import InputError
from mnist_batch.learning import announcing, digits, holding_out, labelled, validating
from mnist_batch.learning.listed import Listed, list_data
from mnist_batch.learning.recipe import Data
from mnist_batch.models import bundle
from mnist_batch.schemas.bundle_facts import DigitValidation, OwnScans
from tests.support.ruler import picture_of, write_scan

labels_of_scans = st.lists(st.integers(0, 9), max_size=200).map(lambda found: np.array(found, np.int8))


@given(labels=labels_of_scans, most=st.integers(1, 100))
def test_a_sixth_of_each_digit_is_held_out_and_never_all_of_it(labels: Any, most: int) -> None:
    held_out = holding_out.by_digit(labels, most)
    share = min(1 / 6, most / max(1, len(labels)))
    for digit in range(10):
        there, held = int((labels == digit).sum()), int((labels[held_out] == digit).sum())
        assert held == max(round(there * share), 1) if there > 1 else held <= there
        assert there < 2 or held < there
    assert held_out.any() == (len(labels) > 1)
    assert not held_out.all() or not len(labels)


@given(
    scans=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=40),
    seed=st.integers(0, 9),
)
def test_each_picture_is_kept_once_in_an_order_of_its_own_unless_its_labels_differ(
    scans: list[tuple[int, int]], seed: int
) -> None:
    pictures = np.array([np.full((28, 28), look, np.uint8) for look, _ in scans], np.uint8).reshape(-1, 28, 28)
    labels = np.array([label for _, label in scans], np.int8)
    kept, contradicting = holding_out.distinct(pictures, labels)
    said = {look: {label for other, label in scans if other == look} for look, _ in scans}
    assert {scans[row][0] for row in kept} == {look for look, labels in said.items() if len(labels) == 1}
    assert len({scans[row][0] for row in kept}) == len(kept)
    assert [row for row, (look, _) in enumerate(scans) if len(said[look]) > 1] == contradicting.tolist()
    order = np.random.default_rng(seed).permutation(len(scans))
    again, _ = holding_out.distinct(pictures[order], labels[order])
    assert [scans[row] for row in kept] == [scans[order[row]] for row in again]


def pages(*rows: tuple[str, int, str, int]) -> pa.Table:
    """A table of pages read, from (scan, label, status, width of the bar of its picture), by nobody known."""
    scans, labels, statuses, looks = zip(*rows, strict=True)
    return pa.table(
        {
            "scan": list(scans),
            "label": pa.array(labels, pa.int8()),
            "status": list(statuses),
            "picture": pa.array([picture_of(look).tobytes() for look in looks], pa.binary(784)),
            "content": pa.array([bytes([look]) for look in looks], pa.binary()),
            **dict.fromkeys(("writer", "part"), pa.nulls(len(rows), pa.string())),
        }
    )


def forms(read: pa.Table, ignored: dict[str, int] | None = None) -> Listed:
    """The listing of a folder called forms."""
    return Listed(Data("forms"), read, ignored or {})


def test_every_page_is_accounted_for_and_what_is_left_out_is_named(caplog: pytest.LogCaptureFixture) -> None:
    read = pages(
        *((f"1/{look}.png", 1, "ok", look) for look in range(6)),
        ("1/again.png", 1, "ok", 3),
        ("2/a.png", 2, "ok", 8),
        ("2/b.png", 2, "ok", 9),
        ("3/same as 2 b.png", 3, "ok", 9),
        ("4/x.png", 4, "undecodable", 0),
        ("4/y.png", 4, "blank", 0),
        ("4/z.png", 4, "undecodable", 0),
        ("5/w.png", 5, "undecodable", 0),
    )
    listed = forms(read, {"10": 100, "notes": 2})
    with caplog.at_level(logging.INFO):
        found = labelled.sort_out(read, listed, 5_000)
        announcing.report([listed], [found.scans], None)
    assert found.scans == OwnScans(
        learned=(0, 5, 1, 0, 0, 0, 0, 0, 0, 0),
        held_out=(0, 1, 0, 0, 0, 0, 0, 0, 0, 0),
        copies=1,
        contradicting=2,
        unreadable={"undecodable": 3, "blank": 1},
        ignored={"10": 100, "notes": 2},
    )
    assert len(found.digits.images) == len(found.digits.labels) == len(found.held_out) == 7
    said = caplog.text
    assert "7 scans under forms: 1: 6, 2: 1, 0 of digit 0, 0 of digit 3, 0 of digit 4" in said
    assert "the same picture is labelled as several digits: 2/b.png, 3/same as 2 b.png" in said
    assert "4 scans under forms cannot be learned from and are left out (3 undecodable, 1 blank)" in said
    assert "4/x.png (undecodable), 4/y.png (blank), 4/z.png (undecodable), ..." in said
    assert (
        "102 files under forms are ignored, since their folders are not named 0 to 9: 100 in 10/, 2 in notes/" in said
    )
    assert "these are few for a model that knows nothing else: --from shipped begins with" in said
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    for digit in (0, 3, 4, 5, 6, 7, 8, 9):
        assert any(f"this model will never answer {digit}; add scans to forms/{digit}" in line for line in warned)
    assert any(line.startswith("only 1 of digit 2: too few") for line in warned)
    assert any(line.startswith("only 6 of digit 1: too few") for line in warned)


def test_a_folder_with_enough_of_every_digit_is_warned_of_for_its_size_alone(caplog: pytest.LogCaptureFixture) -> None:
    images, labels = (array[:300] for array in digits.mnist("test"))
    counts = np.bincount(labels)
    rows = [(f"{label}/{row}.png", int(label), "ok", 0) for row, label in enumerate(labels)]
    read = pages(*rows).set_column(3, "picture", pa.array([image.tobytes() for image in images], pa.binary(784)))
    with caplog.at_level(logging.INFO):
        announcing.report([forms(read)], [labelled.sort_out(read, forms(read), 5_000).scans], None)
    assert (
        "300 scans under forms: " + ", ".join(f"{digit}: {count}" for digit, count in enumerate(counts)) in caplog.text
    )
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == 1
    assert "few for a model that knows nothing else" in warned[0]


def test_a_digit_that_other_data_have_is_known_from_there(caplog: pytest.LogCaptureFixture) -> None:
    read = pages(("1/a.png", 1, "ok", 1), ("1/b.png", 1, "ok", 2))
    own = labelled.sort_out(read, forms(read), 5_000).scans
    more = Listed(Data("more"), read)
    assert own
    sevens = replace(own, learned=(0, 0, 0, 0, 0, 0, 0, 9, 0, 0))
    announcing.report([forms(read), Listed(Data()), more], [own, None, sevens], None)
    assert "all that this model knows of 7 comes from embedded MNIST and more; add scans to forms/7" in caplog.text
    assert "all that this model knows of 0 comes from embedded MNIST; add scans to forms/0" in caplog.text
    assert "all that this model knows of 1 comes" not in caplog.text
    assert "will never answer" not in caplog.text
    assert "few for a model that knows nothing else" not in caplog.text


def test_a_fine_tuned_model_may_know_a_missing_digit_from_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    read = pages(("1/a.png", 1, "ok", 1), ("1/b.png", 1, "ok", 2))
    found = labelled.sort_out(read, forms(read), 5_000)
    announcing.report([forms(read)], [found.scans], "shipped")
    assert "all that this model knows of 7 comes from shipped and MNIST; add scans to forms/7" in caplog.text
    assert "will never answer" not in caplog.text
    assert "few for a model that knows nothing else" not in caplog.text


def test_one_picture_is_not_enough(tmp_path: Path) -> None:
    read = pages(("1/a.png", 1, "ok", 1), ("1/b.png", 1, "ok", 1))
    with pytest.raises(InputError, match="--data forms: 1 of its scans can be learned from, 0 of them held out, where"):
        labelled.sort_out(read, forms(read), 5_000)


def test_what_is_in_no_folder_of_a_digit_is_counted_by_its_folder(tmp_path: Path) -> None:
    for name in ("7/a.png", "7/b.png", "10/c.png", "10/d.png", "notes/e.png", "3/old/f.png", "g.png"):
        write_scan(tmp_path / name, 7)
    listed = list_data(Data(str(tmp_path)))
    assert listed.scans is not None
    assert listed.scans["scan"].to_pylist() == ["7/a.png", "7/b.png"]
    assert listed.scans["label"].to_pylist() == [7, 7]
    assert listed.ignored == {"10": 2, "notes": 1, "3/old": 1, "": 1}


def test_an_actor_reads_all_its_shards_with_one_process(tmp_path: Path) -> None:
    for number in range(4):
        write_scan(tmp_path / f"{number}/a.png", number)
    manifest = list_data(Data(str(tmp_path))).scans
    assert manifest is not None
    actor = labelled.ReadScans()
    processes = set()
    for first in (0, 2):
        rows = actor(manifest.slice(first, 2))
        assert rows["status"].to_pylist() == ["ok", "ok"]
        assert rows["label"].to_pylist() == [first, first + 1]
        assert actor.reader.process is not None
        processes.add(actor.reader.process.pid)
    actor.reader.close()
    assert len(processes) == 1


def test_every_argument_is_checked_before_ray_starts(
    tmp_path: Path, ruler: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def connect(_: str | None) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(session, "connect", connect)
    write_scan(tmp_path / "scans/7/a.png", 7)
    write_scan(tmp_path / "others/seven/a.png", 7)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/letter.txt").write_text("mine")
    scans, out = str(tmp_path / "scans"), str(tmp_path / "out")
    for arguments, message in (
        (["--data", str(tmp_path / "nope")], "--data: there is no file or folder"),
        (["--data", str(tmp_path / "others")], "holds no scan in a folder named 0 to 9, so there is nothing to learn;"),
        (["--data", scans, "--from", str(tmp_path / "nope")], "nope: no model bundle there"),
        (["--data", scans, "--from", ruler], "its model 'ruler' is not one that this version trains; choose a bundle"),
        (
            ["--data", scans, "--from", "shipped", "--model", "cnn"],
            "--model cnn: --from shipped is a bundle of ensemble",
        ),
        (["--from", "shipped"], "--from needs --data, the scans to learn from"),
        (["--data", scans, "--only-first"], "--only-first: hidden asks no net first; leave it out, or train ensemble"),
        (
            ["--data", scans, "--only-first", "--model", "ensemble"],
            "--only-first keeps the other nets of a bundle; give that bundle with --from",
        ),
        (["--data", scans, "--data", "mnist", "--weight", "2"], "--weight is given 1 time for 2 --data; give one for"),
        (["--weight", "2"], "--weight is given 1 time for 0 --data"),
        (["--data", scans, "--weight", "0"], f"--weight 0 of --data {scans}: it has to be above 0 and at most 100"),
        (["--data", scans, "--weight", "nan"], "--weight nan of --data"),
        (["--data", scans, "--data", f"{scans}/../scans"], f"--data {scans}: is given twice; give it once, with --wei"),
        (["--data", scans, "--hold-out", "0"], "--hold-out is 0; it has to be at least 1"),
        (["--data", scans, "--epochs", "0"], "--epochs is 0"),
        (["--data", scans, "--max-failures", "-1"], "--max-failures is -1"),
        (["--data", scans, "--out", str(tmp_path / "taken")], "something that is not a model bundle is there"),
    ):
        assert train.main(["--out", out, *arguments]) == 2, arguments
        assert message in capsys.readouterr().out.splitlines()[-1], arguments
    assert sorted(path.name for path in tmp_path.iterdir()) == ["others", "scans", "taken"]


def test_held_out_digits_are_counted_as_scoring_answers_them() -> None:
    outputs = np.full((5, 12), 0.001, np.float32)
    for row, answer in enumerate((3, 3, 4, 10, 11)):  # the last two are refused
        outputs[row, answer] = 0.9
    outputs[3, 3] = 0.2  # which would be right
    found = validating.validate(outputs, np.array([3, 4, 4, 3, 9], np.int8))
    assert (found.digits, found.correct, found.refused, found.accuracy) == (5, 2, 2, 0.4)
    assert found.low == pytest.approx(0.1176, abs=1e-4)  # Wilson, of 2 in 5
    assert found.high == pytest.approx(0.7693, abs=1e-4)
    names = ("digits", "correct", "refused", "precision", "recall")
    three, four, nine = (tuple(getattr(found.per_class[digit], name) for name in names) for digit in (3, 4, 9))
    assert three == (2, 1, 1, 0.5, 0.5)
    assert four == (2, 1, 0, 1.0, 0.5)
    assert nine == (1, 0, 1, None, 0.0)
    assert found.per_class[0] == DigitValidation(0, 0, 0, 0, None, None, None, None)


def test_the_interval_of_few_writers_is_that_over_writers() -> None:
    """Of seven writers one is read badly: with another seven there may be two of that kind, or none."""
    writers = np.repeat(np.arange(7, dtype=np.int16), 100)
    labels = np.zeros(700, np.int8)
    outputs = np.full((700, 10), 0.001, np.float32)
    outputs[:, 0] = 0.9
    outputs[:70, 1] = 0.99  # writer 0 is read rightly in 30 of 100
    over_writers, over_digits = validating.validate(outputs, labels, writers), validating.validate(outputs, labels)
    assert (over_writers.accuracy, over_writers.writers, over_digits.writers) == (0.9, 7, None)
    assert over_digits.low
    assert over_digits.high
    assert over_writers.low == pytest.approx(
        1 - 0.3, abs=0.01
    )  # that one is drawn three times or more in 6 of 100 resamples
    assert over_writers.high == 1.0
    assert over_writers.low < over_digits.low < over_digits.high < over_writers.high
    assert validating.validate(outputs, labels, writers) == over_writers
    unknown = np.full(700, digits.UNKNOWN, np.int16)
    assert validating.validate(outputs, labels, unknown) == over_digits
    assert validating.validate(outputs, labels, 0 * writers) == replace(over_digits, writers=1)


def test_the_bundle_of_the_package_is_opened_by_a_word() -> None:
    from mnist_batch.learning import fine_tuning

    start = fine_tuning.open_start("shipped")
    shipped = bundle.open_bundle(bundle.SHIPPED)
    assert (start.model, start.digest, start.location) == ("ensemble", shipped.digest, "shipped")
    assert start.has_first
    assert start.archive == shipped.read("model.keras")
    assert fine_tuning.open_start(bundle.SHIPPED).location == bundle.SHIPPED


def test_what_is_rehearsed_is_the_same_every_time_and_holds_none_of_the_own() -> None:
    from mnist_batch.learning import fine_tuning

    pictures, labels = fine_tuning.rehearsal(np.empty((0, 28, 28), np.uint8))
    assert len(pictures) == len(labels) == fine_tuning.REHEARSED
    assert set(labels) == set(range(10))
    fewer, theirs = fine_tuning.rehearsal(pictures[:50])
    assert np.array_equal(fewer, pictures[50:])
    assert np.array_equal(theirs, labels[50:])
    known = {picture.tobytes(): label for picture, label in zip(*digits.mnist("train"), strict=True)}
    assert all(known[picture.tobytes()] == label for picture, label in zip(pictures, labels, strict=True))
