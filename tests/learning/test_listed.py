"""What ``--data`` may name, and what is said of a Parquet file that breaks a rule."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mnist_batch.errors import InputError
from mnist_batch.learning import announcing, digits, labelled
from mnist_batch.learning.listed import list_data
from mnist_batch.learning.recipe import Data
from mnist_batch.pixels.normalising import normalise
from tests.support.pictures import write_labelled
from tests.support.ruler import picture_of

PICTURES = [picture_of(look) for look in range(4)]


def test_a_parquet_file_names_its_pictures_their_writers_and_their_source(tmp_path: Path) -> None:
    said = {"licence": "CC0 1.0", "source": "example/digits"}
    path = write_labelled(tmp_path / "own", PICTURES, said, label=[1, 2, 3, 4], writer=[7, 7, 8, 8])
    listed = list_data(Data(str(path), 2))
    assert (listed.licence, listed.source, listed.is_file) == ("CC0 1.0", "example/digits", True)
    assert listed.scans is not None
    assert listed.scans["scan"].to_pylist() == ["row 1", "row 2", "row 3", "row 4"]
    assert listed.scans["writer"].to_pylist() == ["7", "7", "8", "8"]
    assert listed.scans["label"].to_pylist() == [1, 2, 3, 4]
    assert listed.scans["part"].null_count == 4


def test_the_column_of_pictures_may_be_called_image_and_labels_may_be_texts(tmp_path: Path) -> None:
    pq.write_table(pa.table({"Image": [b"x", b"y"], "label": ["3", "4.0"]}), tmp_path / "own.parquet")
    listed = list_data(Data(str(tmp_path / "own.parquet")))
    assert listed.scans is not None
    assert listed.scans["label"].to_pylist() == [3, 4]
    assert listed.scans["content"].to_pylist() == [b"x", b"y"]
    assert (listed.licence, listed.source) == (None, None)


TWO = {"png": [b"x", b"y"], "label": [1, 2]}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"png": [b"x"]}, "own: needs a column 'label'; it has ['png']"),
        ({"label": [1]}, "own: needs a column of encoded pictures, called png or image"),
        (TWO | {"image": [b"x", b"y"]}, "own: needs one column of encoded pictures, called png or image; it has png a"),
        (TWO | {"png": [b"x", None]}, "own, row 2: png is None; it has to be the bytes of an encoded picture"),
        (TWO | {"png": ["a.png", "b.png"]}, "own, row 1: png is 'a.png'; it has to be the bytes of"),
        (TWO | {"label": [1, None]}, "own, row 2: label is None; it has to be a digit, 0 to 9; leave out rows without"),
        (TWO | {"label": [1, 10]}, "own, row 2: label is 10; it has to be a digit"),
        (TWO | {"label": [-1, 1]}, "own, row 1: label is -1; it has to be a digit"),
        (TWO | {"label": [1.5, 1]}, "own, row 1: label is 1.5; it has to be a digit"),
        (TWO | {"label": [True, False]}, "own, row 1: label is True; it has to be a digit"),
        (TWO | {"writer": ["a", None]}, "own, row 2: writer is None; name the writer in every row, or leave the"),
        (TWO | {"part": ["train", "test"]}, "own, row 2: part is 'test'; it has to be train (learned from) or"),
        (TWO | {"part": ["train", "train"]}, "own: no row has the part calibrate; a column part needs rows of both"),
        (TWO | {"part": ["calibrate", "calibrate"]}, "own: no row has the part train"),
        ({"png": pa.array([], pa.binary()), "label": pa.array([], pa.int8())}, "own: has no row"),
    ],
)
def test_a_parquet_file_that_breaks_a_rule_is_refused_with_a_sentence(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "own")
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        list_data(Data(str(tmp_path / "own")))
    assert str(refused.value).startswith(f"--data {tmp_path}/own")
    assert "CSV" not in str(refused.value)


@pytest.mark.parametrize(("content", "message"), [(b"", "is a file, but not Parquet"), (b"png,label\n", "not Parquet")])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "own.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        list_data(Data(str(tmp_path / "own.csv")))


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    path = write_labelled(tmp_path / "own", PICTURES, label=[1, 2, 3, 4])
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"own: not a readable CSV or Parquet file"):
        list_data(Data(str(path)))


def test_pictures_of_a_file_are_read_as_scans_are_and_what_cannot_be_read_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images, labels = (array[:12] for array in digits.mnist("test"))
    pictures = [255 - np.kron(image, np.ones((3, 3), np.uint8)) for image in images]  # large, dark on light
    path = write_labelled(
        tmp_path / "own",
        [*pictures, b"no picture", np.full((28, 28), 200, np.uint8), pictures[0]],
        label=[*labels, 1, 2, labels[0]],
        writer=[*"aabbccddeeff", "a", "b", "a"],
    )
    listed = list_data(Data(str(path), 2))
    actor = labelled.ReadPictures()
    assert listed.scans is not None
    pages = pa.concat_tables([actor(listed.scans.slice(0, 5)), actor(listed.scans.slice(5))])
    actor.reader.close()
    with caplog.at_level(logging.INFO):
        found = labelled.sort_out(pages, listed, 5_000)
        assert found.scans is not None
        announcing.report([listed], [found.scans], None)
    memory = {(normalise(picture).tobytes(), label) for picture, label in zip(pictures, labels, strict=True)}
    assert {(image.tobytes(), label) for image, label in zip(*found.digits, strict=True)} == memory
    assert (found.scans.unreadable, found.scans.copies) == ({"not_an_image": 1, "blank": 1}, 1)
    assert "2 scans in " in caplog.text
    assert "own cannot be learned from and are left out (1 not_an_image, 1 blank): row 13 (not_an_image), row 14" in (
        caplog.text
    )
    facts = found.facts
    assert (facts.digits, facts.held_out, facts.weight, facts.writers, facts.held_out_writers) == (10, 2, 2, 6, 1)
    assert len(set(found.writers.tolist())) == 6
    assert len(set(found.writers[found.held_out].tolist())) == 1
    assert facts.location == str(path)
    assert facts.digest == digits.digest(found.digits)
    assert facts.held_out_digest == digits.digest(found.digits.take(found.held_out)) != facts.digest


def sorted_out(tmp_path: Path, **columns: Any) -> labelled.Labelled:
    path = write_labelled(tmp_path / "own", PICTURES, label=[1, 2, 3, 4], **columns)
    listed = list_data(Data(str(path)))
    assert listed.scans is not None
    pages = pa.table(
        {
            **{name: listed.scans[name] for name in ("scan", "label", "writer", "part")},
            "status": ["ok"] * 4,
            "content": pa.array([bytes([look]) for look in range(4)], pa.binary()),
            "picture": pa.array([picture.tobytes() for picture in PICTURES], pa.binary(784)),
        }
    )
    return labelled.sort_out(pages, listed, 5_000)


def test_a_part_decides_what_is_held_out_before_the_writers_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parts = ["train", "calibrate", "calibrate", "train"]
    found = sorted_out(tmp_path, writer=["a", "b", "b", "c"], part=parts)
    assert sorted(found.digits.labels[found.held_out].tolist()) == [2, 3]
    assert (found.facts.writers, found.facts.held_out_writers) == (3, 1)
    assert "of both parts" not in caplog.text
    sorted_out(tmp_path, writer=["a", "a", "b", "c"], part=parts)
    assert "1 writer in " in caplog.text
    assert "own wrote digits of both parts: the model has seen something of those held out" in caplog.text


def test_the_digits_of_one_writer_are_held_out_one_by_one_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = sorted_out(tmp_path, writer=["a"] * 4)
    assert found.held_out.sum() == 1
    assert "are of one writer: other writers may be read less well than those held out" in caplog.text
