"""The two actors called directly, with a model whose answers are known by construction."""

import threading
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from mnist_batch import statuses
from mnist_batch.errors import InputError
from mnist_batch.intake import listing, scans
from mnist_batch.intake.labels import attach_labels, parse_labels
from mnist_batch.models import answers, bundle, engines
from mnist_batch.models.answers import Model, ModelSpec
from mnist_batch.models.engines import combined
from mnist_batch.pipeline import actors
from mnist_batch.pixels import normalising
from mnist_batch.reading import images, isolated, preprocessing
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import FormFacts
from tests.support.ruler import calibrated, picture_of, write_scan
from tests.support.run_facts import frozen

pytestmark = pytest.mark.long

RUN = Run("out", "night", "2026-11-21")  # of which no part is written here


def listed(folder: Path) -> pa.Table:
    return listing.list_scans([str(folder)])


def test_preprocess_opens_its_shard_of_the_frozen_manifest(tmp_path: Path) -> None:
    for digit in range(4):
        write_scan(tmp_path / "in" / f"{digit}.png", digit)
    run = Run(str(tmp_path / "out"), "night", "2026-11-21")
    frozen(run, scans.cut(listed(tmp_path / "in"), 3))
    actor = actors.Preprocess(run)
    rows = actor(pa.table({"shard": pa.array([1], pa.int32())}))
    assert rows.select(["shard", "scan"]).to_pylist() == [{"shard": 1, "scan": "3.png"}]


def test_pages_beside_a_file_of_many_are_read_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first scan of a shard of forms is a stack that is done only after all but its next neighbours are read."""
    for number in range(50):
        write_scan(tmp_path / "in" / f"{number:03}.png", 1)
    run = Run(str(tmp_path / "out"), "night", "2026-11-21")
    frozen(run, [listed(tmp_path / "in")])
    read, all_others = list[str](), threading.Event()

    class Reader:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def read(self, scans: pa.Table, shard: int, *_: object, **__: object) -> pa.Table:
            names = scans["scan"].to_pylist()
            if "000.png" in names:
                assert all_others.wait(timeout=60)
            read.extend(names)
            if len(read) >= 50 - actors.CHUNK_OF_PAGES:
                all_others.set()
            pages = [preprocessing.unread(row, 0, statuses.Status.EMPTY, "") for row in range(len(scans))]
            return preprocessing.table(scans, shard, pages, False)

    monkeypatch.setattr(actors.isolated, "Reader", Reader)
    actor = actors.Preprocess(run, forms=[FormFacts("/form", "turnout", None, "d")])
    rows = actor(pa.table({"shard": pa.array([0], pa.int32())}))
    assert rows["scan"].to_pylist() == [f"{number:03}.png" for number in range(50)]


def test_a_file_of_many_pages_is_read_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that five files of many pages keep both readers at work, and small ones do not start another process."""
    run = Run(str(tmp_path / "out"), "night", "2026-11-21")
    asked = list[list[str]]()

    class Reader:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def read(self, scans: pa.Table, shard: int, *_: object, **__: object) -> pa.Table:
            asked.append(scans["scan"].to_pylist())
            pages = [preprocessing.unread(row, 0, statuses.Status.EMPTY, "") for row in range(len(scans))]
            return preprocessing.table(scans, shard, pages, False)

    for number in range(12):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / f"in/{number:03}.pdf").write_bytes(bytes(200 if number in (1, 2, 11) else 10))
    frozen(run, [listed(tmp_path / "in")])
    monkeypatch.setattr(actors.isolated, "Reader", Reader)
    monkeypatch.setattr(actors, "BYTES_OF_PAGES", 100)
    actor = actors.Preprocess(run, forms=[FormFacts("/form", "turnout", None, "d")])
    rows = actor(pa.table({"shard": pa.array([0], pa.int32())}))
    assert rows["scan"].to_pylist() == [f"{number:03}.pdf" for number in range(12)]
    chunks = [[0], [1], [2], [3, 4, 5, 6, 7, 8, 9, 10], [11]]
    assert sorted(asked) == [[f"{number:03}.pdf" for number in chunk] for chunk in chunks]


def test_a_reader_that_is_still_at_work_when_another_meets_an_error_is_ended_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors, "CHUNK", 1)
    for number in range(2):
        write_scan(tmp_path / "in" / f"{number}.png", number)
    run = Run(str(tmp_path / "out"), "night", "2026-11-21")
    frozen(run, [listed(tmp_path / "in")])
    reading, ending, ended = threading.Event(), threading.Event(), list[object]()

    class Reader:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def read(self, scans: pa.Table, *_: object, **__: object) -> pa.Table:
            if scans["scan"].to_pylist() == ["0.png"]:
                assert reading.wait(timeout=60)
                raise InputError("the source is gone")
            reading.set()
            assert ending.wait(timeout=60)
            return preprocessing.preprocess(scans)

        def close(self) -> None:
            ended.append(self)

    monkeypatch.setattr(actors.isolated, "Reader", Reader)
    actor = actors.Preprocess(run)
    end = actor.pool.shutdown
    monkeypatch.setattr(actor.pool, "shutdown", lambda: (ending.set(), end()))
    with pytest.raises(InputError, match="the source is gone"), closing(actor):
        actor(pa.table({"shard": pa.array([0], pa.int32())}))
    assert len(set(ended)) == actors.READERS


def test_where_one_reader_is_enough_no_other_process_is_started(tmp_path: Path) -> None:
    for number in range(6):
        write_scan(tmp_path / "in" / f"{number}.png", number)
    run = Run(str(tmp_path / "out"), "night", "2026-11-21")
    frozen(run, scans.cut(listed(tmp_path / "in"), 2))
    actor = actors.Preprocess(run)
    for shard in range(3):
        actor(pa.table({"shard": pa.array([shard], pa.int32())}))
    readers = [actor.idle.get() for _ in range(actors.READERS)]
    assert len([reader for reader in readers if reader.process]) == 1


def test_preprocess_shares_a_shard_out_over_its_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two poison files in two chunks: each is a row and is noted at its place, and the others keep theirs."""
    (tmp_path / "points").mkdir()
    monkeypatch.setenv("MNIST_BATCH_FAILPOINTS", str(tmp_path / "points"))
    monkeypatch.setattr(actors, "CHUNK", 8)
    for number in range(30):
        write_scan(tmp_path / "in" / f"{number:03}.png", number % 10)
    manifest, poison = listed(tmp_path / "in"), [8, 29]
    run = Run(str(tmp_path / "out"), "night", "2026-11-21")
    frozen(run, [manifest])
    for row in poison:
        (tmp_path / f"points/read {row:03}.png").write_text("exit always")
    actor, shard = actors.Preprocess(run), pa.table({"shard": pa.array([0], pa.int32())})
    rows = actor(shard)
    assert sorted(run.fatal(0)) == [(row, None) for row in poison]
    assert [row for row, status in enumerate(rows["status"].to_pylist()) if status == "crashed"] == poison
    others = [row for row in range(30) if row not in poison]
    assert rows.take(others).equals(preprocessing.preprocess(manifest).take(others))
    for row in poison:
        (tmp_path / f"points/read {row:03}.png").unlink()
    assert actor(shard).equals(rows)  # as they are noted, they are not read again


def test_a_stroke_of_a_neighbour_is_never_accepted(tmp_path: Path, ruler: str) -> None:
    """Half a digit that reaches over the edge of an empty cell: answered as surely as any, and for review."""
    for name, left in (("whole", 40), ("neighbour", 0)):
        cell = np.full((110, 110), 240, np.uint8)
        cell[10:100, left : left + 16] = 40
        (tmp_path / f"{name}.png").write_bytes(images.encode(cell))
    sure = np.eye(10, dtype=np.float32)[[1, 1]]
    rows = answers.answer(
        preprocessing.preprocess(listed(tmp_path)), Model(lambda _: combined(sure), "m"), threshold=0.5
    )
    assert rows["confidence"].to_pylist() == [1.0, 1.0]
    assert dict(zip(rows["scan"].to_pylist(), rows["decision"].to_pylist(), strict=True)) == {
        "neighbour.png": "review",
        "whole.png": "accept",
    }
    assert "stray" not in rows.column_names


def test_a_page_that_reads_in_two_ways_is_answered_and_for_review(tmp_path: Path) -> None:
    """A 7 cut out tightly: its bar may be a line. The page after it reads in one way."""
    seven, plain = np.full((60, 40), 255, np.uint8), np.full((110, 110), 240, np.uint8)
    seven[1:6, 1:39] = seven[6:59, 18:24] = 0
    plain[20:90, 48:60] = 40
    for name, page in (("a", seven), ("b", plain)):
        (tmp_path / f"{name}.png").write_bytes(images.encode(page))
    pages = preprocessing.preprocess(listed(tmp_path))
    assert [len(others) for others in pages["others"].to_pylist()] == [1, 0]
    with closing(isolated.Reader()) as reader:
        assert reader.read(listed(tmp_path)).equals(pages)
    outputs = np.eye(10, dtype=np.float32)[[7, 1, 1]]  # of the two pages, then of the other reading
    rows = answers.answer(pages, Model(lambda _: combined(outputs), "m"), threshold=0.5)
    assert rows["digit"].to_pylist() == [7, 1]
    assert rows["confidence"].to_pylist() == pytest.approx([2 / 3, 1])
    assert rows["decision"].to_pylist() == ["review", "accept"]
    assert "others" not in rows.column_names


def test_classify_answers_what_the_model_says_and_keeps_the_rest_of_the_row(tmp_path: Path, ruler: str) -> None:
    write_scan(tmp_path / "7/a.png", 7, confidence=0.64)
    write_scan(tmp_path / "3/b.png", 5)
    (tmp_path / "3/c.png").write_bytes(b"")
    manifest = attach_labels(listed(tmp_path), parse_labels("parent"))
    model = bundle.open_bundle(ruler)
    rows = actors.Classify(RUN, ModelSpec(ruler)).answered(preprocessing.preprocess(manifest))
    assert rows.column_names == ["shard", *(name for name in rows.column_names if name != "shard")]
    assert set(tables.PREDICTIONS.names) < set(rows.column_names)
    assert "picture" not in rows.column_names
    answers = rows.select(["scan", "label", "digit", "status", "decision", "model"]).to_pylist()
    assert answers == [
        {"scan": "3/b.png", "label": 3, "digit": 5, "status": "ok", "decision": None, "model": model.digest},
        {"scan": "3/c.png", "label": 3, "digit": None, "status": "empty", "decision": "review", "model": model.digest},
        {"scan": "7/a.png", "label": 7, "digit": 7, "status": "ok", "decision": None, "model": model.digest},
    ]
    assert rows["confidence"].to_pylist() == [1.0, None, pytest.approx(0.64)]
    assert rows["probabilities"][0].as_py() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert not rows["probabilities"][1].is_valid


def test_why_an_answer_is_never_accepted_is_its_reason_with_a_rule_and_without(tmp_path: Path) -> None:
    for number in range(4):
        write_scan(tmp_path / f"in/{number}.png", 7)
    pages = preprocessing.preprocess(listed(tmp_path / "in"))
    at = pages.schema.get_field_index("stray")
    pages = pages.set_column(at, pages.schema.field(at), pa.array([False, True, False, False]))
    outputs = np.zeros((4, 12), np.float32)
    outputs[:, 7], outputs[2, 10], outputs[3, 10] = 1, 0.1, 9  # the third may be no digit, and the last is none
    model = Model(lambda pictures: combined(outputs[: len(pictures)]), "digest")
    for threshold, sure in ((None, [None, None, None, "review"]), (0.5, ["accept", "review", "review", "review"])):
        rows = answers.answer(pages, model, threshold)
        assert rows["status"].to_pylist() == ["ok", "ok", "ok", "not_a_digit"]
        assert rows["reason"].to_pylist()[:3] == [None, answers.STRAY, answers.DOUBTED]
        assert rows["decision"].to_pylist() == sure
    assert all(text.startswith("never accepted") for text in (answers.STRAY, answers.DOUBTED))


def test_sure_answers_are_accepted_and_the_rest_is_for_review(tmp_path: Path, ruler: str) -> None:
    for number, confidence in enumerate((0.5, 0.7, 0.9)):
        write_scan(tmp_path / "in" / f"{number}.png", 7, confidence)
    (tmp_path / "in/3.png").write_bytes(b"")
    pages = preprocessing.preprocess(listed(tmp_path / "in"))
    rows = actors.Classify(RUN, ModelSpec(ruler)).answered(pages)
    middle = rows["confidence"][1].as_py()
    assert rows["decision"].to_pylist() == [None, None, None, "review"]
    ruled = actors.Classify(RUN, ModelSpec(ruler), threshold=middle).answered(pages)
    assert ruled["decision"].to_pylist() == ["review", "accept", "accept", "review"]  # who reaches it is in
    assert ruled.drop_columns(["decision"]).equals(rows.drop_columns(["decision"]))
    for own, expected in ((0.4, ["accept", "accept", "accept"]), (None, ["review", "review", "review"])):
        by_source = {str(tmp_path / "in"): own}
        rows = actors.Classify(RUN, ModelSpec(ruler), threshold=middle, by_source=by_source).answered(pages)
        assert rows["decision"].to_pylist() == [*expected, "review"]
        other = {"/other": own}
        rows = actors.Classify(RUN, ModelSpec(ruler), threshold=middle, by_source=other).answered(pages)
        assert rows["decision"].to_pylist() == ruled["decision"].to_pylist()


def test_confidence_has_the_temperature_of_the_bundle(tmp_path: Path, ruler: str) -> None:
    write_scan(tmp_path / "in/a.png", 7, confidence=0.9)
    warm = calibrated(ruler, tmp_path / "warm", temperature=2.0)
    pages = preprocessing.preprocess(listed(tmp_path / "in"))
    cold, tempered = (
        actors.Classify(RUN, ModelSpec(model)).answered(pages)["confidence"][0].as_py() for model in (ruler, warm)
    )
    assert tempered == pytest.approx(cold**0.5 / (cold**0.5 + 9 * ((1 - cold) / 9) ** 0.5))


def test_every_row_that_is_read_tells_what_was_done_to_its_page(tmp_path: Path, ruler: str) -> None:
    """The ink's box lies on the page, also where the scan is large, turned over, or one of several pages."""
    write_scan(tmp_path / "in/a.png", 7)
    large = cv2.copyMakeBorder(cv2.resize(picture_of(3), (280, 280)), 30, 90, 10, 200, cv2.BORDER_CONSTANT)
    (tmp_path / "in/b.png").write_bytes(images.encode(255 - large))
    Image.fromarray(picture_of(1)).save(
        tmp_path / "in/c.tif", save_all=True, append_images=[Image.fromarray(np.zeros((40, 30), np.uint8))]
    )
    (tmp_path / "in/d.png").write_bytes(b"")
    seen = preprocessing.preprocess(listed(tmp_path / "in"))
    rows = actors.Classify(RUN, ModelSpec(ruler), keep_images=True).answered(seen)
    assert rows["status"].to_pylist() == ["ok", "ok", "ok", "blank", "empty"]
    for row in rows.to_pylist():
        facts = row["normalisation"]
        if row["status"] != "ok":
            assert (facts, row["image"]) == (None, None)
            continue
        page = list(images.decode((tmp_path / "in" / row["scan"]).read_bytes()))[row["page"]]
        assert 0 <= facts["x"] < facts["x"] + facts["width"] <= page.shape[1]
        assert 0 <= facts["y"] < facts["y"] + facts["height"] <= page.shape[0]
        [picture] = images.decode(row["image"])
        assert np.array_equal(picture, normalising.normalise(page))
    of_large = rows["normalisation"][1].as_py()
    assert of_large["polarity"] == "dark_on_light"
    assert [of_large[name] for name in ("x", "y", "width", "height")] == pytest.approx([110, 80, 80, 200], abs=9)
    assert of_large["scale"] == pytest.approx(0.1, rel=0.06)
    without = actors.Classify(RUN, ModelSpec(ruler)).answered(seen)
    assert without["image"].null_count == 5
    assert without.drop_columns(["image"]).equals(rows.drop_columns(["image"]))


def test_a_shard_without_one_readable_scan_is_answered(tmp_path: Path, ruler: str) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    actor = actors.Classify(RUN, ModelSpec(ruler))
    rows = actor.answered(preprocessing.preprocess(listed(tmp_path)))
    assert rows.select(["digit", "confidence", "probabilities"]).to_pylist() == [
        {"digit": None, "confidence": None, "probabilities": None}
    ]


def test_a_shard_of_many_pictures_is_answered_with_signs_of_life(
    tmp_path: Path, ruler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answers are those of all at once, and a shard that is answered in a moment leaves nothing."""
    for number in range(5):
        write_scan(tmp_path / f"in/{number}.png", number + 1, confidence=0.6 + number / 20)
    seen = preprocessing.preprocess(listed(tmp_path / "in"))
    run = Run(str(tmp_path / "out"), "night", "2026-11-21")
    at_once = actors.Classify(run, ModelSpec(ruler)).answered(seen)
    assert not run.signs_of_life()
    monkeypatch.setattr(engines, "PIECE", 2)
    assert actors.Classify(run, ModelSpec(ruler)).answered(seen).equals(at_once)
    assert run.signs_of_life() == {"0-answered-2", "0-answered-4"}


def test_a_bundle_that_changed_while_the_run_started_is_refused(tmp_path: Path, ruler: str) -> None:
    write_scan(tmp_path / "a.png", 1)
    actor = actors.Classify(RUN, ModelSpec(ruler, "another digest"))
    with pytest.raises(InputError, match="changed while the run was starting"):
        actor(preprocessing.preprocess(listed(tmp_path)))


def test_what_a_model_refuses_is_a_row_without_a_digit(tmp_path: Path) -> None:
    for number in range(4):
        write_scan(tmp_path / f"{number}.png", 7)
    outputs = np.full((4, 12), 0.001, np.float32)
    outputs[[0, 1, 2, 3], [3, 10, 11, 7]] = 0.9
    outputs[3, 10] = 0.6  # surer of a 7 than that it is no digit, but not sure enough to accept it
    rows = answers.answer(
        preprocessing.preprocess(listed(tmp_path)), Model(lambda _: combined(outputs), "m"), threshold=0.5
    )
    assert rows["status"].to_pylist() == ["ok", "not_a_digit", "several", "ok"]
    assert rows["digit"].to_pylist() == [3, None, None, 7]
    assert rows["decision"].to_pylist() == ["accept", "review", "review", "review"]
    assert rows["reason"].to_pylist()[1:3] == [statuses.MEANINGS["not_a_digit"], statuses.MEANINGS["several"]]
    assert rows["confidence"].is_null().to_pylist() == [False, True, True, False]


@given(hnp.arrays(np.float32, (5, 12), elements=st.floats(0, 1, width=32)))
def test_the_larger_part_of_the_outputs_decides_on_a_refusal(outputs: NDArray[np.float32]) -> None:
    digits, others = outputs[:, :10].sum(axis=1), outputs[:, 10:].sum(axis=1)
    refused = answers.refusals_of(outputs) >= 0
    assert refused[others > 1.01 * digits + 1e-6].all()
    assert not refused[others < 0.99 * digits - 1e-6].any()
    assert (answers.refusals_of(outputs[:, :10]) == -1).all()
