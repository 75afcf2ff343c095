"""Zigzags that void a cell are told from digits by their shape alone, by whatever pen they are drawn."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_batch.learning import digits
from mnist_batch.pixels import zigzags
from mnist_batch.pixels.normalising import normalise

N = ((0, 1), (0, 0), (1, 1), (1, 0))
MIRRORED = ((0, 0), (0, 1), (1, 0), (1, 1))


def drawn(random: np.random.Generator, points: tuple[tuple[float, float], ...]) -> NDArray[np.uint8]:
    """A picture of such strokes from edge to edge of a cell, about."""
    high = int(random.integers(40, 200))
    wide = int(high * random.uniform(0.75, 1.4))
    page = np.full((high, wide), 235, np.uint8)
    places = np.array(points) * random.uniform(0.68, 0.86) + 0.07 + random.normal(0, 0.012, (4, 2))
    line = (places * (wide, high)).round().astype(np.int32)
    cv2.polylines(page, [line], False, 40, max(1, round(random.uniform(0.02, 0.06) * high)), cv2.LINE_AA)
    return normalise(page)


@pytest.mark.parametrize("points", [N, MIRRORED])
def test_a_zigzag_between_two_uprights_is_found(points: tuple[tuple[float, float], ...]) -> None:
    random = np.random.default_rng(1)
    assert zigzags.found(np.stack([drawn(random, points) for _ in range(80)])).mean() >= 0.97


@pytest.mark.parametrize(
    "points",
    [
        ((0.5, 0), (0.5, 0.3), (0.5, 0.6), (0.5, 1)),
        ((0, 1), (0.3, 0.7), (0.6, 0.4), (1, 0)),
        ((0, 0.6), (0.5, 0), (0.5, 0.5), (0.5, 1)),
        ((0, 0), (1, 0), (0, 1), (1, 1)),
        ((0, 0.5), (0.3, 0.5), (0.6, 0.5), (1, 0.5)),
    ],
    ids=["a 1", "a slash", "a 1 with an upstroke", "a 2 like a Z", "a dash"],
)
def test_other_straight_strokes_are_none(points: tuple[tuple[float, float], ...]) -> None:
    random = np.random.default_rng(2)
    assert not zigzags.found(np.stack([drawn(random, points) for _ in range(20)])).any()


def test_no_digit_of_mnist_is_one() -> None:
    pictures, _ = digits.mnist("test")
    assert not any(zigzags.found(some).any() for some in np.array_split(pictures, len(pictures) // 1000))


def test_no_picture_and_one_without_ink_hold_none() -> None:
    assert zigzags.found(np.zeros((0, 28, 28), np.uint8)).shape == (0,)
    assert not zigzags.found(np.zeros((2, 28, 28), np.uint8)).any()
