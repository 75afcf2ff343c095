"""Intervals of shares are those of the literature."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from mnist_batch.models import intervals

SHARE = st.integers(1, 5_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(SHARE, st.floats(0.5, 0.999))
def test_the_bound_is_clopper_pearsons(share: tuple[int, int], level: float) -> None:
    errors, accepted = share
    bound = float(intervals.upper_bound(errors, accepted, level))
    if errors == accepted:
        assert bound == 1
        return
    assert errors / accepted < bound < 1
    # The error rate at which so few errors would be seen with a chance of 1 - level.
    assert binom.cdf(errors, accepted, bound) == pytest.approx(1 - level, rel=1e-6)
    assert intervals.upper_bound(errors + 1, accepted, level) > bound
    assert intervals.upper_bound(errors, accepted + 1, level) < bound
    assert intervals.upper_bound(0, accepted) == pytest.approx(1 - 0.05 ** (1 / accepted))


def test_nothing_accepted_promises_nothing() -> None:
    assert intervals.upper_bound([0, 0], [0, 10]).tolist() == [1, pytest.approx(0.2589, abs=1e-4)]


@given(SHARE)
def test_the_interval_is_wilsons(share: tuple[int, int]) -> None:
    correct, total = share
    low, high = intervals.wilson(np.array([correct]), np.array([total]))
    expected = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    assert (low[0], high[0]) == (pytest.approx(expected.low, abs=1e-9), pytest.approx(expected.high, abs=1e-9))
