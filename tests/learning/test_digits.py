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
    images, labels = digits.mnist("train")
    wrong = {}
    with (Path(accuracy.__file__).parent / "readings.csv").open() as file:
        for row in csv.DictReader(file):
            index, label, readings = int(row.pop("index")), row.pop("label"), [text.split() for text in row.values()]
            assert int(label) == labels[index]
            read = {digit for digit, _ in readings}
            if len(read) == 1 and label not in read and [how for _, how in readings].count("sure") >= 3:
                wrong[index] = (label, *read)
    with resources.files("mnist_batch").joinpath("data/wrong_labels.csv").open() as file:
        assert {int(row["index"]): (row["label"], row["read"]) for row in csv.DictReader(file)} == wrong
    assert digits.wrongly_labelled(digits.mnist("train")) == {images[index].tobytes() for index in wrong}
