"""Gates: what is counted is compared as it is, and labels only as far as they are evidence."""

import numpy as np
import pytest
from scipy import stats

from mnist_batch.errors import InputError
from mnist_batch.reports import gates
from mnist_batch.reports.counting import Counts
from mnist_batch.reports.gates import Gates
from mnist_batch.schemas.drift_facts import Drift
from mnist_batch.schemas.facts import Gate


def counts(right: int, wrong: int, unlabelled: int = 0, digit: int = 3) -> Counts:
    found = Counts(ruled=True)
    found.matrix[digit, digit], found.matrix[digit, (digit + 1) % 10], found.matrix[11, 0] = right, wrong, unlabelled
    found.accepted[digit, digit] = right
    return found


def judged(asked: Gates, found: Counts, drift: Drift | None = None) -> Gate:
    [gate] = asked.of(found.totals(), found, drift)
    return gate


@pytest.mark.parametrize(("right", "wrong", "kept"), [(9, 1, True), (97, 3, True), (900, 100, False)])
def test_a_few_labels_are_no_evidence_against_a_run(right: int, wrong: int, kept: bool) -> None:
    """Less than 99 of 100 right is an accident unless there are many."""
    gate = judged(Gates(min_accuracy=0.99), counts(right, wrong))
    assert (gate.kept, gate.value, gate.of) == (kept, right / (right + wrong), right + wrong)
    # The limit is the accuracy at which so few right answers would come in 5 of 100 nights.
    assert stats.binom.cdf(right, right + wrong, gate.limit) == pytest.approx(0.05)


def test_a_run_that_is_as_good_as_its_bound_is_held_in_at_most_5_of_100_nights() -> None:
    dealt = np.random.default_rng(1).binomial(300, 0.95, 1_000)
    held = [judged(Gates(min_accuracy=0.95), counts(int(right), 300 - int(right))).kept is False for right in dealt]
    assert 0.02 < np.mean(held) <= 0.06


def test_recall_is_that_of_the_worst_digit_and_each_has_a_tenth_of_the_doubt() -> None:
    found = counts(500, 0, digit=1)
    found.matrix[7, 7], found.matrix[7, 1] = 80, 20
    gate = judged(Gates(min_recall=0.9), found)
    assert (gate.kept, gate.value, gate.of) == (False, 0.8, 100)
    assert stats.binom.cdf(80, 100, gate.limit) == pytest.approx(0.005)
    assert judged(Gates(min_recall=0.88), found).kept


def test_a_gate_that_lacks_what_it_judges_is_not_judged_and_holds_nothing() -> None:
    found = counts(0, 0, unlabelled=50)
    for asked in (Gates(min_accuracy=1), Gates(min_recall=1), Gates(max_drift=0)):
        gate = judged(asked, found)
        assert (gate.kept, gate.value) == (None, None)
        assert "not judged, since" in gates.sentence(gate)
        assert not gates.failed([gate])


def test_what_is_counted_of_all_rows_is_compared_as_it_is() -> None:
    found = counts(6, 4)  # of ten rows, six are accepted
    assert [judged(Gates(max_review=bound), found).kept for bound in (0.39, 0.4)] == [False, True]
    drift = Drift("runs", ("a", "b"), compared=40, alerting=3)
    assert [judged(Gates(max_drift=bound), found, drift).kept for bound in (2, 3)] == [False, True]


@pytest.mark.parametrize("wrong", [{"min_accuracy": 90}, {"max_review": -0.1}, {"min_recall": 1.01}, {"max_drift": -1}])
def test_a_bound_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"--{next(iter(wrong)).replace('_', '-')} is"):
        Gates(**wrong)  # type: ignore[arg-type]
