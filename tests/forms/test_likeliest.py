"""The search over the states of a check finds what trying every number finds."""

from itertools import product

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from mnist_batch.forms import checks
from mnist_batch.forms.checks import Check
from mnist_batch.forms.likeliest import MISWRITTEN, Candidates, candidates, weights

CHECKS = [None, *(Check(name, (3, 2, 1) if name == checks.WEIGHTED else ()) for name in checks.NAMES)]
CELLS = st.tuples(st.integers(1, 3), st.integers(0, 2**32 - 1)).map(
    lambda drawn: np.random.default_rng(drawn[1]).dirichlet([0.2] * 12, drawn[0])[:, :10]
)


def by_trying_all(cells: NDArray[np.float64], check: Check | None) -> dict[str, tuple[float, bool]]:
    """Each number with its probability, and whether it passes, by Bayes' rule as it is written in books."""
    numbers = ["".join(digits) for digits in product("0123456789", repeat=len(cells))]
    alone = {number: float(np.prod([cells[at, int(digit)] for at, digit in enumerate(number)])) for number in numbers}
    if check is None:
        return {number: (alone[number], True) for number in numbers}
    passing = {number: checks.passes(check, number) for number in numbers}
    right, wrong = weights(checks.by_chance(check), MISWRITTEN)
    weighed = {number: alone[number] * (right if passing[number] else wrong) for number in numbers}
    total = sum(weighed.values()) + wrong * (1 - sum(alone.values()))
    return {number: (weighed[number] / total, passing[number]) for number in numbers}


@given(CELLS, st.sampled_from(CHECKS), st.integers(1, 30))
def test_the_search_finds_what_trying_every_number_finds(
    cells: NDArray[np.float64], check: Check | None, count: int
) -> None:
    found, truth = candidates(cells, check, count), by_trying_all(cells, check)
    best = sorted((probability for probability, _ in truth.values()), reverse=True)
    np.testing.assert_allclose(found.probabilities[:count], best[:count], atol=1e-12)
    for number, probability, passing in zip(*found, strict=True):
        assert truth[number] == (pytest.approx(probability, abs=1e-12), passing)


@given(CELLS, st.sampled_from(CHECKS))
def test_probabilities_fall_and_add_up_to_at_most_1_and_the_best_two_that_pass_are_there(
    cells: NDArray[np.float64], check: Check | None
) -> None:
    found: Candidates = candidates(cells, check, 2)
    assert found.probabilities.sum() <= 1 + 1e-9
    assert (np.diff(found.probabilities) <= 0).all()
    assert len(set(found.numbers)) == len(found.numbers)
    passing = sum(passes for _, passes in by_trying_all(cells, check).values())
    assert found.passing.sum() >= min(2, passing)


def test_long_numbers_are_searched_too() -> None:
    cells = np.full((34, 10), 0.001)
    cells[:, 7] = 0.991
    found = candidates(cells, Check("iso7064_mod97_10"), 12)
    assert all(len(number) == 34 for number in found.numbers)
    assert checks.passes(Check("iso7064_mod97_10"), found.numbers[int(found.passing.argmax())])


def test_a_number_that_passes_by_chance_is_weighed_as_worked_by_hand() -> None:
    cells = np.zeros((2, 10))
    cells[0, 1], cells[1, 8], cells[1, 3] = 1, 0.6, 0.4  # 18 has a right check digit of Luhn, 13 has not
    found = candidates(cells, Check("luhn"), 2)
    right, wrong = 0.98 * 10, 0.02 / 0.9
    assert found.numbers[:2] == ("18", "13")
    assert found.passing.tolist()[:2] == [True, False]
    assert found.probabilities[0] == pytest.approx(0.6 * right / (0.6 * right + 0.4 * wrong))
