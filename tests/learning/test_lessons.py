"""How often the digits of each data set are drawn."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnist_batch.learning import digits, lessons
from mnist_batch.learning.recipe import Recipe

weights_of_sets = st.lists(st.one_of(st.integers(1, 3), st.floats(0.01, 4)), min_size=1, max_size=3)


@given(weights=weights_of_sets, data=st.lists(st.integers(0, 2), max_size=60), views=st.integers(1, 9))
def test_each_digit_is_drawn_as_often_as_the_others_of_its_data_set(
    weights: list[float], data: list[int], views: int
) -> None:
    numbers: NDArray[np.int16] = np.array([number % len(weights) for number in data], np.int16)
    drawn = [lessons.draw(numbers, weights, view) for view in range(views)]
    assert {len(rows) for rows in drawn} == {lessons.drawn_size(numbers, weights)}
    times = Counter(np.concatenate(drawn).tolist())
    for number, weight in enumerate(weights):
        own = np.flatnonzero(numbers == number).tolist()
        if own:
            counts = [times[row] for row in own]
            assert max(counts) - min(counts) <= 1  # over all views together
            assert sum(counts) == views * max(1, round(len(own) * weight))
            if weight == int(weight):
                assert set(counts) == {views * weight}
    assert sum(times.values()) == sum(map(len, drawn))


def test_digits_of_weight_one_are_drawn_in_their_order() -> None:
    data = np.array([1, 0, 0, 1, 1], np.int16)
    assert lessons.draw(data, [1, 1], 3).tolist() == [0, 1, 2, 3, 4]
    assert lessons.draw(data, [1, 2], 3).tolist() == [0, 0, 1, 2, 3, 3, 4, 4]
    assert [lessons.draw(data[1:3], [0.5], view).tolist() for view in range(3)] == [[0], [1], [0]]


@pytest.mark.parametrize("model", ["hidden", "scanned"])
def test_a_lesson_with_weights_is_the_same_for_a_worker_that_takes_over(model: str) -> None:
    train = digits.mnist("train")
    share = digits.mixed([train.take(np.arange(20)), train.take(np.arange(20, 30))])
    recipe = Recipe(model=model, epochs=6, batch_size=8)
    whole = lessons.Lessons(share, [0.5, 2], recipe, 0)
    for epoch in range(6):
        lesson = whole.of(epoch)
        resumed = lessons.Lessons(share, [0.5, 2], recipe, 0)
        assert np.array_equal(resumed.order(epoch), whole.order(epoch))
        assert all(np.array_equal(*both) for both in zip(resumed.of(epoch), lesson, strict=True))
        first = train.labels[:10] if epoch // 2 % 2 == 0 else train.labels[10:20]
        assert lesson.classes[:30].tolist() == [*first, *np.repeat(train.labels[20:30], 2)]
    if model == "scanned":  # a digit that is drawn twice is seen in two views
        pictures = whole.of(0).pictures[10:30]
        assert all(not np.array_equal(pictures[at], pictures[at + 1]) for at in range(0, 20, 2))
