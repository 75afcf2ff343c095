"""A style of writing adds strokes to a digit and takes none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnist_batch.learning import digits, styles


@given(st.sampled_from([0, 1, 7, 9]), st.integers(0, 2**32 - 1))
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
    assert styles.restyled(picture, 3, random) is picture


@pytest.fixture(scope="module")
def mnist_test() -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    return digits.mnist("test")
