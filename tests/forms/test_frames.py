"""The printed frames of fields are found on pages."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_batch.forms import frames
from mnist_batch.forms.frames import Frame, Levels

BOX = np.array([[30.0, 30], [150, 30], [150, 70], [30, 70]])
MILLIMETRE = 4.0


@dataclass(frozen=True)
class Laid:
    """A page that lies on the form, whose other print is so many times as dark as the form's."""

    seen: NDArray[np.uint8]
    gain: float
    light: float = 255.0

    @property
    def dark(self) -> Levels:
        return frames.darkness_of(self.seen)


def drawn(uprights: bool = True) -> NDArray[np.uint8]:
    """A box with level lines of one dark pixel, and upright ones of two pixels half as dark."""
    page = np.full((100, 180), 255, np.uint8)
    (left, top), (right, foot) = BOX[0].astype(int), BOX[2].astype(int)
    if uprights:
        for x in (left, right):
            page[top : foot + 1, x : x + 2] = 135
    for y in (top, foot):
        cv2.line(page, (left, y), (right, y), 20, 1)
    return page


@pytest.mark.parametrize("gain", [0.9, 1.0, 1.2, 1.4])
def test_thin_lines_between_two_columns_of_pixels_are_found_whatever_other_print_says(gain: float) -> None:
    """They were expected to be darker than black, and a field of a clean page was shifted."""
    frame = Frame.of(drawn(), [BOX], MILLIMETRE)
    assert frame is not None
    assert frames.seek(frame, Laid(drawn(), gain), (0.0, 0.0), 6).is_found
    assert not frames.seek(frame, Laid(drawn(uprights=False), gain), (0.0, 0.0), 6).is_found
