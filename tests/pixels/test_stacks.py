"""A stack of pages gives what each of its pages gives alone."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from benchmarks import accuracy
from mnist_batch.pixels import ink, lines, stacks

Grey = NDArray[np.uint8]

STACKS = st.tuples(st.integers(1, 5), st.integers(1, 64), st.integers(1, 64)).flatmap(
    lambda shape: hnp.arrays(np.uint8, shape)
)


@given(STACKS, st.data())
def test_histograms_and_ranks_are_those_of_each_page(pages: Grey, data: st.DataObject) -> None:
    mask = data.draw(hnp.arrays(np.uint8, pages.shape, elements=st.integers(0, 1)))
    counts, masked = stacks.histograms(pages), stacks.histograms(pages, mask)
    for page, seen, all_of_it, part in zip(pages, mask, counts, masked, strict=True):
        assert np.array_equal(all_of_it, np.bincount(page.ravel(), minlength=256))
        assert np.array_equal(part, np.bincount(page[seen > 0], minlength=256))
    rank = data.draw(st.integers(0, pages[0].size - 1))
    assert np.array_equal(stacks.ranked(counts, rank), np.sort(pages.reshape(len(pages), -1), axis=1)[:, rank])


def test_any_number_of_pages_is_counted() -> None:
    pages = np.arange(3 * stacks.MOST, dtype=np.uint8)[:, None, None] + np.zeros((1, 2, 3), np.uint8)
    counts = stacks.histograms(pages, np.ones_like(pages))
    assert np.array_equal(counts, stacks.histograms(pages))
    assert np.array_equal(counts.argmax(axis=1), pages[:, 0, 0])
    assert np.array_equal(counts.max(axis=1), np.full(len(pages), 6))


@given(STACKS)
def test_ink_grows_in_its_own_page(pages: Grey) -> None:
    masks = np.pad(pages & 1, ((0, 0), (0, 1), (0, 0)))
    alone = [cv2.dilate(mask, np.ones((3, 3), np.uint8)) for mask in masks]
    assert np.array_equal(stacks.dilated(masks)[:, :-1], np.stack(alone)[:, :-1])


@pytest.mark.parametrize("beyond", [0, 1, 14])
@pytest.mark.parametrize("turned", [False, True])
def test_the_sums_of_masks_say_where_lines_may_be(turned: bool, beyond: int) -> None:
    masks: NDArray[Any] = np.zeros((5, 50, 44), np.uint8)
    masks[0, 4:46, 4:40] = 1  # away from all edges
    masks[1, 3:46, 4:40] = 1  # near one
    masks[2, 3:47, 4:40] = 1  # near both
    masks[3, 10:40, [10, 30]] = 1
    masks[4, [10, 40], 10:31] = 1
    masks[4, 10:41, [10, 30]] = 1  # a box
    stack = np.ascontiguousarray(masks.swapaxes(1, 2)) if turned else masks
    sizes = np.array([stack.shape[1:]] * len(stack)).T
    sums = lines.Sums.of_each(np.pad(stack, ((0, 0), (0, beyond), (0, beyond))), *sizes)
    assert [each.may_span for each in sums] == [False, False, True, False, False]
    assert [each.may_hold_a_box for each in sums] == [False, False, False, False, True]
    for mask, each in zip(masks, sums, strict=True):
        rows, columns = (each.columns, each.rows) if turned else (each.rows, each.columns)
        assert rows.tolist() == [*mask.sum(axis=1).tolist(), *[0] * beyond]
        assert columns.tolist() == [*mask.sum(axis=0).tolist(), *[0] * beyond]


@pytest.mark.parametrize("name", ["with box borders", "with slanted box borders", "MNIST test, as it is"])
def test_pieces_that_come_with_lines_are_those_of_the_ink_that_they_leave(name: str) -> None:
    known = 0
    for page in accuracy.pages(name, 150)[0]:
        [seen] = ink._contrasts([ink._part(page, 0, 0, (page.shape[1], page.shape[0]))])
        assert seen is not None
        for without, pieces in lines.readings(seen.mask, seen.sums):
            if pieces is not None:
                assert without is not None
                assert np.array_equal(pieces.labels > 0, cv2.subtract(seen.mask, without) > 0)
                known += 1
    assert known >= 100 or name.startswith("MNIST")
