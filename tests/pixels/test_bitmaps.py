"""Masks as integers say what masks as arrays do."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mnist_batch.pixels import bitmaps

Grey = NDArray[np.uint8]

SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 70))
MASKS = SHAPES.flatmap(lambda shape: hnp.arrays(np.uint8, shape, elements=st.integers(0, 1)))


def with_runs(mask: Grey) -> Grey:
    """The mask with some of its rows and columns filled, so that there are long runs."""
    filled = mask.copy()
    filled[:: 1 + mask.shape[0] // 3] = 1
    filled[:, :: 1 + mask.shape[1] // 2] = 1
    return filled


@given(MASKS)
def test_a_mask_comes_back_as_it_was(mask: Grey) -> None:
    grid = bitmaps.grid(mask.shape)
    packed = grid.packed(mask)
    assert np.array_equal(grid.unpacked(packed), mask)
    assert packed.bit_count() == np.count_nonzero(mask)
    assert grid.unpacked(grid.whole).all()


@given(MASKS, st.integers(0, 80), st.integers(0, 80))
def test_rows_columns_and_the_parts_of_ways(mask: Grey, one: int, other: int) -> None:
    (height, width), grid = mask.shape, bitmaps.grid(mask.shape)
    for along, rows, columns, length in ((0, grid.rows, grid.columns, height), (1, grid.columns, grid.rows, width)):
        first, last = sorted((min(one, length), min(other, length)))
        expected = np.zeros_like(mask)
        np.moveaxis(expected, along, 0)[first:last] = 1
        assert np.array_equal(grid.unpacked(rows(first, last)), expected)
        assert columns(0, 0) == 0
    for way, picture in ((grid.across, mask), (grid.down, mask.T)):
        band, ink = max(1, way.lines // 4), grid.packed(mask)
        near, far = ((ink & quarter).bit_count() for quarter in way.quarters)
        assert near == np.count_nonzero(picture[:band])
        assert far == np.count_nonzero(picture[max(band, way.lines - band) :])
        assert [(ink & half).bit_count() for half in way.halves] == [
            np.count_nonzero(half) for half in (picture[: way.lines // 2], picture[way.lines // 2 :])
        ]
        assert [bool(ink & end) for end in way.ends] == [picture[:, :3].any(), picture[:, -3:].any()]


@given(MASKS, st.integers(1, 75))
def test_runs_are_what_opencv_opens(mask: Grey, least: int) -> None:
    mask = with_runs(mask)
    grid = bitmaps.grid(mask.shape)
    for way, kernel in ((grid.across, (1, least)), (grid.down, (least, 1))):
        opened = cv2.morphologyEx(
            mask, cv2.MORPH_OPEN, np.ones(kernel, np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        runs = way.runs(grid.packed(mask), least)
        assert np.array_equal(grid.unpacked(runs), opened)
        if 2 * least > way.length + 1:
            lines = opened.any(axis=1 if way is grid.across else 0)
            assert way.crossed(runs, least) == np.count_nonzero(lines)


@given(MASKS)
def test_a_mask_spreads_to_the_next_lines(mask: Grey) -> None:
    grid = bitmaps.grid(mask.shape)
    for way, kernel in ((grid.across, (3, 1)), (grid.down, (1, 3))):
        assert np.array_equal(grid.unpacked(way.spread(grid.packed(mask))), cv2.dilate(mask, np.ones(kernel, np.uint8)))


@given(MASKS, st.sampled_from([1, 3, 5, 7]))
def test_what_is_tall_crosses_lines(mask: Grey, odd: int) -> None:
    grid = bitmaps.grid(mask.shape)
    for way, other in ((grid.across, grid.down), (grid.down, grid.across)):
        assert way.tall(grid.packed(mask), odd) == other.runs(grid.packed(mask), odd)
