"""What is learned beside a digit: other views of it, and negatives."""

import numpy as np

from mnist_batch.learning import augmenting, digits, negatives
from mnist_batch.statuses import REFUSALS


def test_a_digit_looks_another_way_each_time_and_the_same_with_the_same_seed() -> None:
    images, labels = digits.mnist("train")
    share = digits.Digits(images[:60], labels[:60])
    whole = [augmenting.augment(share, np.random.default_rng(seed)).pictures for seed in (1, 1, 2)]
    views = [pictures[:60] for pictures in whole]
    assert np.array_equal(whole[0], whole[1])
    assert views[0].shape == (60, 28, 28)
    assert views[0].dtype == np.uint8
    assert (views[0] != views[2]).any(axis=(1, 2)).all()
    assert views[0].any(axis=(1, 2)).all()
    empty = augmenting.augment(digits.Digits(images[:0], labels[:0]), np.random.default_rng(1))
    assert len(empty.pictures) == len(empty.classes) == 0


def test_negatives_are_learned_as_their_own_classes() -> None:
    images, labels = digits.mnist("train")
    lesson = augmenting.augment(digits.Digits(images[:240], labels[:240]), np.random.default_rng(1))
    assert lesson.classes[:240].tolist() == labels[:240].tolist()
    # The outputs of a model after its ten digits, in the order of ``REFUSALS``.
    assert lesson.classes[240:].tolist() == [10] * 60 + [11] * 16
    assert [(kind.refused_as, kind.output) for kind in negatives.NEGATIVES] == list(
        zip(REFUSALS, (10, 11), strict=True)
    )
    assert lesson.pictures.shape == (316, 28, 28)
    assert len(lesson.classes) == augmenting.lesson_size(240) == 316
    assert lesson.pictures.any(axis=(1, 2)).all()


def test_a_picture_without_ink_among_the_digits_is_no_obstacle() -> None:
    images, labels = digits.mnist("train")
    share = digits.Digits(images[:300] * (np.arange(300) % 3 > 0)[:, None, None].astype(np.uint8), labels[:300])
    lesson = augmenting.augment(share, np.random.default_rng(1))
    assert lesson.pictures[300:].any(axis=(1, 2)).all()
