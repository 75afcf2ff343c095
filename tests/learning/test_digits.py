"""The digits to learn from: the embedded MNIST, and what is wrong in it."""

import csv
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from benchmarks import accuracy
from mnist_batch.learning import digits


@pytest.mark.parametrize(("split", "count", "of_seven"), [("train", 60_000, 6_265), ("test", 10_000, 1_028)])
def test_the_embedded_mnist_is_whole(split: str, count: int, of_seven: int) -> None:
    images, labels = digits.mnist(split)
    assert (images.shape, images.dtype, labels.dtype) == ((count, 28, 28), np.uint8, np.int8)
    assert np.count_nonzero(labels == 7) == of_seven
    parts = [digits.Digits(images[:50], labels[:50]), digits.Digits(images[50:99], labels[50:99])]
    writers = np.arange(99, dtype=np.int16) % 7
    whole = digits.table(digits.mixed(parts, [writers[:50], writers[50:]]))
    (again, truth), data, written_by = digits.arrays([whole.slice(0, 30), whole.slice(30)])
    assert np.array_equal(again, images[:99])
    assert np.array_equal(truth, labels[:99])
    assert np.array_equal(data, [0] * 50 + [1] * 49)
    assert np.array_equal(written_by, writers)


def test_labels_are_wrong_that_no_reading_upholds_and_most_are_sure_about() -> None:
    wrong = {}
    with (Path(accuracy.__file__).parent / "readings.csv").open() as file:
        for row in csv.DictReader(file):
            data, content, label, *readings = row.values()
            said = [text.split() for text in readings]
            read = {digit for digit, _ in said}
            if len(read) == 1 and label not in read and [how for _, how in said].count("sure") >= 3:
                wrong[content] = (data, label, *read)
    with resources.files("mnist_batch").joinpath("data/wrong_labels.csv").open() as file:
        listed = {row["content"]: (row["data"], row["label"], row["read"]) for row in csv.DictReader(file)}
    assert listed == wrong
    assert {data for data, *_ in listed.values()} == {digits.EMBEDDED, "kensanata/numbers"}
    assert digits.wrong_labels() == {(bytes.fromhex(content), int(label)) for content, (_, label, _) in listed.items()}


def test_the_wrong_labels_of_mnist_are_found_by_their_pictures_and_count_once_put_right() -> None:
    images, labels = digits.mnist("train")
    with resources.files("mnist_batch").joinpath("data/wrong_labels.csv").open() as file:
        listed = {row["content"]: row for row in csv.DictReader(file) if row["data"] == digits.EMBEDDED}
    contents = digits.contents(images)
    found = np.flatnonzero(digits.wrongly_labelled(contents, labels))
    assert {contents[at].hex() for at in found} == listed.keys()
    assert [str(labels[at]) for at in found] == [listed[contents[at].hex()]["label"] for at in found]
    right = labels.copy()
    right[found] = [int(listed[contents[at].hex()]["read"]) for at in found]
    assert not digits.wrongly_labelled(contents, right).any()
