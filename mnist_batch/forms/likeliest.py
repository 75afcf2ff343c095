"""The likeliest numbers that a row of cells may hold, with a check digit or without: exact, over the check's states."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms import checks
from mnist_batch.forms.checks import Check

# How often a number is written with a wrong check digit. An assumption: the more often, the less a check proves.
MISWRITTEN = 0.02
_UNCHECKED = np.zeros((1, 10), np.int64)


class Candidates(NamedTuple):
    """Numbers that a row of cells may hold, the likeliest first.

    ``probabilities``, float64 (N,), add up to at most 1; ``passing``, bool (N,), are those with the right check digit.
    """

    numbers: tuple[str, ...]
    probabilities: NDArray[np.float64]
    passing: NDArray[np.bool_]


def candidates(cells: NDArray[Any], check: Check | None, count: int) -> Candidates:
    """The ``count`` likeliest numbers in cells, float (L, 10): the probability of each digit in each of L > 0 cells.

    The two likeliest that pass are always among them, as far as there are any. The cells of a number are independent of
    each other until its check is known: one in ``MISWRITTEN`` numbers has a wrong check digit. What the probabilities
    of a cell lack to 1 is that it holds no digit.
    """
    words, logs, passing, share = _searched(np.asarray(cells, np.float64), check, count)
    probabilities = np.exp(logs)
    if check is not None:
        right, wrong = weights(checks.by_chance(check), MISWRITTEN)
        probabilities *= np.where(passing, right, wrong) / (share * right + (1 - share) * wrong)
    order = np.argsort(-probabilities, kind="stable")
    of_passing = np.cumsum(passing[order]) * passing[order]
    order = order[(np.arange(len(order)) < count) | ((of_passing > 0) & (of_passing <= 2))]
    numbers = tuple("".join(map(str, word)) for word in words[order].tolist())
    return Candidates(numbers, probabilities[order], passing[order])


def weights(by_chance: float, broken: float) -> tuple[float, float]:
    """By how much what keeps a rule, and what breaks it, is likelier than before the rule was known.

    ``by_chance`` is the share of all possibilities that keep the rule, ``broken`` how often writers break it.
    """
    return (1 - broken) / by_chance, broken / (1 - by_chance)


def _searched(
    cells: NDArray[np.float64], check: Check | None, count: int
) -> tuple[NDArray[np.int8], NDArray[np.float64], NDArray[np.bool_], float]:
    """For each state of the check its ``count`` likeliest numbers: digits, log probabilities, and which pass.

    The last is the probability that a number passes, over all numbers.
    """
    automaton = checks.automaton(check, len(cells)) if check else None
    steps = automaton.steps if automaton else (_UNCHECKED,) * len(cells)
    from_left = automaton is None or automaton.from_left
    ordered = cells if from_left else cells[::-1]
    state, logs, words = np.zeros(1, np.int64), np.zeros(1), np.zeros((1, 0), np.int8)
    shares = np.ones(1)
    for step, digits in zip(steps, ordered, strict=True):
        state, logs, words = _longer(step, digits, state, logs, words, count)
        following = np.zeros(int(step.max()) + 1)
        np.add.at(following, step, shares[:, None] * digits)
        shares = following
    valid = automaton.valid if automaton else 0
    return words if from_left else words[:, ::-1], logs, state == valid, float(shares[valid]) if valid >= 0 else 0.0


def _longer(
    step: NDArray[np.int64],
    digits: NDArray[np.float64],
    state: NDArray[np.int64],
    logs: NDArray[np.float64],
    words: NDArray[np.int8],
    count: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int8]]:
    """Every number with every digit after it, of which the ``count`` likeliest of each state are kept."""
    found = (logs[:, None] + np.log(np.maximum(digits, np.finfo(np.float64).tiny))).ravel()
    reached = step[state].ravel()
    order = np.lexsort((-found, reached))
    sorted_states = reached[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_states, sorted_states)
    kept = order[rank < count]
    ends = (kept % 10).astype(np.int8)
    return reached[kept], found[kept], np.column_stack([words[kept // 10], ends])
