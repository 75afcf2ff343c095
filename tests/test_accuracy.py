"""The bundle that comes with the package reads what scanners deliver, and refuses what is no digit."""

import csv
import json
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks import accuracy, refusals
from mnist_batch.learning import augmenting, digits, negatives, styles
from mnist_batch.models import bundle, calibrating, vetting
from mnist_batch.pixels.normalising import normalise
from mnist_batch.statuses import REFUSALS


@pytest.fixture(scope="module")
def reader() -> accuracy.Reader:
    return accuracy.Reader(bundle.SHIPPED)


class Whole(NamedTuple):
    """The MNIST test set as the bundle reads it."""

    labels: NDArray[np.int8]
    outputs: NDArray[np.float32]
    answers: accuracy.Answers


@pytest.fixture(scope="module")
def whole(reader: accuracy.Reader) -> Whole:
    images, labels = digits.mnist("test")
    outputs = reader.outputs(images)
    return Whole(labels, outputs, reader.answers(images, outputs))


@pytest.fixture(scope="module")
def mnist_test() -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    return digits.mnist("test")


@pytest.mark.long
def test_the_shipped_bundle_is_small_whole_and_what_it_says(whole: Whole) -> None:
    shipped = bundle.open_bundle(bundle.SHIPPED)
    vetting.vet(shipped)
    assert sum(path.stat().st_size for path in Path(bundle.SHIPPED).iterdir()) < 8 * 1024**2
    assert shipped.facts.architecture == "ensemble"
    assert (whole.outputs[:, :10].argmax(axis=1) == whole.labels).mean() == pytest.approx(
        shipped.facts.test.accuracy, abs=1e-9
    )


# Each floor is two points below what benchmarks/accuracy.json says of all pages.
@pytest.mark.parametrize("name", [*accuracy.SETS, "load_digits"])
def test_the_shipped_bundle_reads_scans(reader: accuracy.Reader, name: str) -> None:
    measured = json.loads(accuracy.RESULTS.read_text())["sets"][name]["normalised"]
    pages, labels = accuracy.pages(name, 400)
    answers = reader.read(np.stack([normalise(page) for page in pages]))
    assert (answers.digit == labels).mean() >= measured - 0.02


@pytest.mark.parametrize("kind", refusals.KINDS)
def test_cells_without_one_digit_are_not_read_as_one(reader: accuracy.Reader, kind: str) -> None:
    random = np.random.default_rng(1)
    found = refusals.shares([refusals.KINDS[kind](random) for _ in range(200)], reader)
    measured = json.loads(refusals.RESULTS.read_text())[kind]
    assert found["ok"] <= measured["ok"] + 0.06
    assert found["accepted"] <= 0.02


@pytest.mark.long
def test_hardly_any_digit_is_refused(whole: Whole) -> None:
    assert (whole.answers.blank | whole.answers.refused).mean() < 0.002


@pytest.mark.long
def test_what_is_accepted_is_right_as_often_as_was_promised(reader: accuracy.Reader, whole: Whole) -> None:
    answers = whole.answers
    for target in accuracy.TARGETS:
        threshold = calibrating.threshold_for(reader.calibration, target, "ensemble")
        accepted = (answers.digit >= 0) & ~answers.doubted & (answers.confidence >= np.float32(threshold))
        assert (answers.digit != whole.labels)[accepted].mean() <= target
        assert accepted.mean() > 0.85


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


def test_a_digit_looks_another_way_each_time_and_the_same_with_the_same_seed() -> None:
    images, labels = digits.mnist("train")
    share = digits.Digits(images[:60], labels[:60])
    views = [augmenting.augment(share, np.random.default_rng(seed)).pictures[:60] for seed in (1, 1, 2)]
    assert views[0].shape == (60, 28, 28)
    assert views[0].dtype == np.uint8
    assert np.array_equal(views[0], views[1])
    assert (views[0] != views[2]).any(axis=(1, 2)).all()
    assert views[0].any(axis=(1, 2)).all()
    empty = augmenting.augment(digits.Digits(images[:0], labels[:0]), np.random.default_rng(1))
    assert len(empty.pictures) == len(empty.classes) == 0


def test_negatives_are_learned_as_their_own_classes() -> None:
    images, labels = digits.mnist("train")
    lesson = augmenting.augment(digits.Digits(images[:240], labels[:240]), np.random.default_rng(1))
    assert lesson.classes[:240].tolist() == labels[:240].tolist()
    # The outputs of a model after its ten digits, in the order of ``REFUSALS``.
    assert lesson.classes[240:].tolist() == [10] * 24 + [11] * 12
    assert [(kind.refused_as, kind.output) for kind in negatives.NEGATIVES] == list(
        zip(REFUSALS, (10, 11), strict=True)
    )
    assert lesson.pictures.shape == (276, 28, 28)
    assert len(lesson.classes) == augmenting.lesson_size(240) == 276
    assert lesson.pictures.any(axis=(1, 2)).all()


def test_nothing_is_learned_as_no_digit_of_which_only_an_upright_stroke_is_left() -> None:
    images, _ = digits.mnist("train")
    random = np.random.default_rng(1)
    bends = augmenting.draw_bends(random, 64)
    for negative in negatives.NEGATIVES:
        for _ in range(1_000):
            down, across = np.nonzero(augmenting.draw_negative(negative, images[:100], random, bends) > 64)
            assert np.ptp(across) > 7 or np.ptp(down) < 13


@given(st.sampled_from([1, 7, 9]), st.integers(0, 2**32 - 1))
def test_a_style_adds_strokes_and_takes_none(
    mnist_test: tuple[NDArray[np.uint8], NDArray[np.int8]], label: int, seed: int
) -> None:
    images, labels = mnist_test
    random = np.random.default_rng(seed)
    picture = images[random.choice(np.flatnonzero(labels == label))]
    before = picture.copy()
    written = styles.restyled(picture, label, random)
    assert (written >= before).all()
    assert np.array_equal(picture, before)
    assert styles.restyled(picture, 0, random) is picture
