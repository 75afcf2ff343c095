"""A page with several readings: the likeliest weighs most, and what a reading alone would not answer is doubted."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_batch.models.answers import Model, Others
from mnist_batch.models.engines import Outputs, combined
from mnist_batch.statuses import Status


class Fixed:
    """An engine that puts out a one for the class that a picture's first pixel names."""

    def __call__(self, pictures: NDArray[np.uint8]) -> Outputs:
        return combined(np.eye(12, dtype=np.float32)[pictures[:, 0, 0] - 1])


MODEL = Model(Fixed(), "digest")
NOTHING = 10  # the output for what is no digit


def pictures(*classes: int) -> NDArray[np.uint8]:
    return np.stack([np.full((28, 28), number + 1, np.uint8) for number in classes])


@pytest.mark.parametrize(
    ("first", "others", "digit", "confidence", "doubted"),
    [
        (7, [], 7, 1.0, False),
        (7, [7], 7, 1.0, False),
        (7, [1], 7, 2 / 3, True),
        (7, [1, 7], 7, 3 / 4, True),
        (7, [1, 1, 1], 1, 3 / 5, True),
        (7, [NOTHING], 7, 1.0, True),
        (NOTHING, [7], -1, None, True),
    ],
)
def test_readings_that_disagree_lower_the_confidence_and_are_never_accepted(
    first: int, others: list[int], digit: int, confidence: float | None, doubted: bool
) -> None:
    # The page beside it has one reading, before and after: it is answered as ever.
    page = pictures(3, first, 3)
    second = Others(pictures(*others) if others else page[:0], np.full(len(others), 1))
    said = MODEL.answers(page, second)
    assert said.digit.tolist() == [3, digit, 3]
    assert said.doubted.tolist() == [False, doubted, False]
    assert said.confidence[[0, 2]].tolist() == [1.0, 1.0]
    if confidence is not None:
        assert said.confidence[1] == pytest.approx(confidence)
    assert said.accepted(0.4).tolist() == [True, not doubted and digit >= 0, True]


def test_pages_without_other_readings_are_answered_as_by_their_outputs_alone() -> None:
    page = pictures(0, 5, NOTHING)
    alone, beside = MODEL.answers(page), MODEL.answers(page, Others(page[:0], np.empty(0, np.int64)))
    assert alone.digit.tolist() == beside.digit.tolist() == [0, 5, -1]


def test_a_zigzag_that_voids_its_cell_is_refused_whatever_the_model_says() -> None:
    """The shipped nets were sure that such a zigzag is a 1."""
    page = np.zeros((28, 28), np.uint8)
    cv2.polylines(page, [np.array([[4, 5], [4, 23], [23, 5], [23, 23]], np.int32)], False, 255, 2)
    shown = np.stack([page, *pictures(1)])
    shown[0, 0, 0] = 2  # the engine's first pixel: a 1
    for others in (None, Others(pictures(1), np.array([0]))):
        said = MODEL.answers(shown, others)
        assert said.statuses == [Status.NOT_A_DIGIT, Status.OK]
        assert said.digit.tolist() == [-1, 1]
        assert said.refusal_share[0] == 1
        assert not said.accepted(0.0)[0]
