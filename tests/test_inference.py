"""The two actors called directly, with a model whose answers are known by construction."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from mnist_batch import bundle, inference, runs, scans, tables
from mnist_batch.errors import InputError
from tests.conftest import picture_of, write_scan


def listed(folder: Path) -> pa.Table:
    return scans.list_scans([str(folder)])


def test_every_scan_is_a_row_in_order_and_a_broken_one_moves_no_neighbour(tmp_path: Path) -> None:
    for number, digit in enumerate([3, 1, 4, 1, 5]):
        write_scan(tmp_path / f"{number}.png", digit)
    clean = inference.preprocess(listed(tmp_path))
    (tmp_path / "1.png").write_bytes(b"")
    (tmp_path / "3.png").write_bytes(b"not an image at all")
    rows = inference.preprocess(listed(tmp_path), shard=7)
    assert rows.schema.equals(tables.PREPROCESSED)
    assert rows["shard"].to_pylist() == [7] * 5
    assert rows["scan"].to_pylist() == [f"{number}.png" for number in range(5)]
    assert rows["status"].to_pylist() == ["ok", "empty", "ok", "not_an_image", "ok"]
    assert [reason is None for reason in rows["reason"].to_pylist()] == [True, False, True, False, True]
    for number in (0, 2, 4):
        assert rows["image"][number] == clean["image"][number]
        assert rows["content"][number] == clean["content"][number]


def test_a_scan_that_vanished_or_changed_since_it_was_listed_says_so(tmp_path: Path) -> None:
    for number in range(4):
        write_scan(tmp_path / f"{number}.png", number)
    manifest = listed(tmp_path)
    (tmp_path / "0.png").unlink()
    os.utime(tmp_path / "1.png", ns=(1, 1))
    (tmp_path / "2.png").write_bytes(b"longer than it was")
    rows = inference.preprocess(manifest)
    assert rows["status"].to_pylist() == ["missing", "changed", "changed", "ok"]
    assert "time of change was" in rows["reason"][1].as_py()
    assert "size was" in rows["reason"][2].as_py()


def test_every_page_of_a_tiff_is_a_row_with_its_number(tmp_path: Path) -> None:
    first, *others = [Image.fromarray(picture_of(digit)) for digit in (2, 7, 1)]
    first.save(tmp_path / "form.tif", save_all=True, append_images=others)
    write_scan(tmp_path / "x.png", 9)
    rows = inference.preprocess(listed(tmp_path))
    assert list(zip(rows["scan"].to_pylist(), rows["page"].to_pylist(), strict=True)) == [
        ("form.tif", 0),
        ("form.tif", 1),
        ("form.tif", 2),
        ("x.png", 0),
    ]
    assert inference.images_of(rows)[:, 0, :10].argmax(axis=1).tolist() == [2, 7, 1, 9]


def test_preprocess_opens_its_shard_of_the_frozen_manifest(tmp_path: Path) -> None:
    for digit in range(4):
        write_scan(tmp_path / "in" / f"{digit}.png", digit)
    run = runs.Run(str(tmp_path / "out"), "night", "2026-11-21")
    run.freeze(scans.cut(listed(tmp_path / "in"), 3), {})
    actor = inference.Preprocess(run)
    rows = actor(pa.table({"shard": pa.array([1], pa.int32())}))
    assert rows.select(["shard", "scan"]).to_pylist() == [{"shard": 1, "scan": "3.png"}]


def test_classify_answers_what_the_model_says_and_keeps_the_rest_of_the_row(tmp_path: Path, ruler: str) -> None:
    write_scan(tmp_path / "7/a.png", 7, confidence=0.64)
    write_scan(tmp_path / "3/b.png", 5)
    (tmp_path / "3/c.png").write_bytes(b"")
    manifest = scans.attach_labels(listed(tmp_path), "parent")
    model = bundle.open_bundle(ruler)
    rows = inference.Classify(ruler, model.digest)(inference.preprocess(manifest))
    assert rows.column_names == ["shard", *(name for name in rows.column_names if name != "shard")]
    assert set(tables.PREDICTIONS.names) < set(rows.column_names)
    assert "image" not in rows.column_names
    answers = rows.select(["scan", "label", "digit", "status", "decision", "model"]).to_pylist()
    assert answers == [
        {"scan": "3/b.png", "label": 3, "digit": 5, "status": "ok", "decision": None, "model": model.digest},
        {"scan": "3/c.png", "label": 3, "digit": None, "status": "empty", "decision": "review", "model": model.digest},
        {"scan": "7/a.png", "label": 7, "digit": 7, "status": "ok", "decision": None, "model": model.digest},
    ]
    assert rows["confidence"].to_pylist() == [1.0, None, pytest.approx(0.64)]
    assert rows["probabilities"][0].as_py() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert not rows["probabilities"][1].is_valid


def test_a_shard_without_one_readable_scan_is_answered(tmp_path: Path, ruler: str) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    actor = inference.Classify(ruler, bundle.open_bundle(ruler).digest)
    rows = actor(inference.preprocess(listed(tmp_path)))
    assert rows.select(["digit", "confidence", "probabilities"]).to_pylist() == [
        {"digit": None, "confidence": None, "probabilities": None}
    ]


def test_a_bundle_that_changed_while_the_run_started_is_refused(ruler: str) -> None:
    with pytest.raises(InputError, match="changed while the run was starting"):
        inference.Classify(ruler, "another digest")


@given(hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.just(10)), elements=st.floats(0, 1, width=32)))
def test_probabilities_add_up_to_one_and_keep_the_answer(outputs: NDArray[np.float32]) -> None:
    probabilities = inference.probabilities_of(outputs)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    for row, output in zip(probabilities, outputs, strict=True):
        if output.any():
            assert row[output.argmax()] == row.max()
