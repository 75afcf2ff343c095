"""Whole writers are held out, or the part that says so."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mnist_batch.learning import holding_out

names = st.text("abcdefghij", min_size=1, max_size=2)


@given(writers=st.lists(names, min_size=2, max_size=200).filter(lambda found: len(set(found)) > 1), seed=st.integers())
def test_whole_writers_are_held_out_the_same_ones_whatever_the_order(writers: list[str], seed: int) -> None:
    held_out = holding_out.by_writer(writers, len(writers))
    out = {writer for writer, held in zip(writers, held_out, strict=True) if held}
    learned = {writer for writer, held in zip(writers, held_out, strict=True) if not held}
    assert not out & learned
    assert len(out) == max(1, round(len(set(writers)) / 6))
    assert learned
    order = np.random.default_rng(abs(seed)).permutation(len(writers))
    again = holding_out.by_writer([writers[at] for at in order], len(writers))
    assert np.array_equal(again, held_out[order])


@given(counts=st.dictionaries(names, st.integers(1, 50), min_size=12), most=st.integers(1, 200))
def test_no_more_writers_are_held_out_than_the_most_allows_but_one_is(counts: dict[str, int], most: int) -> None:
    writers = list(Counter(counts).elements())
    held_out = holding_out.by_writer(writers, most)
    out = {writer for writer, held in zip(writers, held_out, strict=True) if held}
    assert len(out) == 1 or held_out.sum() <= most
    assert 1 <= len(out) <= round(len(counts) / 6)


def test_a_writer_who_is_held_out_stays_so_while_others_write_more() -> None:
    writers = [f"writer {number}" for number in range(12)] * 3
    held_out = holding_out.by_writer(writers, 1_000)
    more = [*writers, *(writer for writer, held in zip(writers, held_out, strict=True) if not held)]
    assert np.array_equal(holding_out.by_writer(more, 1_000)[: len(writers)], held_out)


def test_the_part_calibrate_is_held_out() -> None:
    assert holding_out.by_part(["train", "calibrate", "train"]).tolist() == [False, True, False]


def test_a_picture_that_is_known_already_is_left_out() -> None:
    pictures = np.array([np.full((28, 28), look, np.uint8) for look in (1, 2, 3, 2)])
    labels = np.array([1, 2, 3, 2], np.int8)
    kept, contradicting = holding_out.distinct(pictures, labels, {pictures[0].tobytes()})
    assert (sorted(labels[kept].tolist()), contradicting.tolist()) == ([2, 3], [])
