"""The numbers of several fields weighed together by the rules across them."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist_batch.forms.likeliest import Candidates, weights
from mnist_batch.forms.rules import Rule

# How often writers break a rule themselves: of 23 tally sheets of a real election 2 do not add up.
MISCOUNTED = 2 / 23
KEPT = 500  # assignments of numbers to the fields of a rule, or of rules that share fields


class Agreed(NamedTuple):
    """The likeliest numbers of fields together.

    ``chosen`` is the place of each field's number among its candidates, ``probabilities``, float64 (N,), are those of
    all its candidates; ``verdicts`` are whether the chosen numbers keep the rules, None where a rule says nothing.
    """

    chosen: dict[str, int]
    probabilities: dict[str, NDArray[np.float64]]
    verdicts: dict[str, bool | None]


def agreed(fields: Mapping[str, Candidates], rules: Sequence[Rule], empty: Collection[str]) -> Agreed:
    """The likeliest numbers of fields, by name, that keep the rules or break them as seldom as writers do.

    ``empty`` are the names of the fields that are empty and may be. A rule that names a field which is in neither says
    nothing, and neither the order of rules nor a rule that stands twice changes anything.
    """
    found = Agreed({}, {}, {rule.text: None for rule in rules})
    ordered = sorted({rule.text: rule for rule in rules}.values(), key=lambda rule: rule.text)
    spoken = [rule for rule in ordered if all(name in fields or name in empty for name in rule.names)]
    for names in _groups(fields, spoken):
        of_group = [rule for rule in spoken if any(name in names for name in rule.names)]
        _weigh({name: fields[name] for name in names}, of_group, empty, found)
    return found


def _groups(fields: Collection[str], rules: Sequence[Rule]) -> list[list[str]]:
    """The fields, those together that rules join, each group and the groups in the order of the fields."""
    group = {name: {name} for name in fields}
    for rule in rules:
        joined = set().union(*(group[name] for name in rule.names if name in group))
        for name in joined:
            group[name] = joined
    first: dict[int, list[str]] = {}
    for name in fields:
        first.setdefault(id(group[name]), []).append(name)
    return [*first.values()]


def _weigh(fields: Mapping[str, Candidates], rules: Sequence[Rule], empty: Collection[str], found: Agreed) -> None:
    """Add the fields of a group to what was found: the likeliest of their assignments, each weighed by the rules."""
    chances, choices = _assignments(fields)
    factors = np.ones(len(chances))
    verdicts = {rule.text: _verdicts(rule, fields, choices, empty) for rule in rules}
    for rule in rules:
        kept, broken = weights(rule.by_chance, MISCOUNTED)
        factors *= [1.0 if holds is None else kept if holds else broken for holds in verdicts[rule.text]]
    weighed = chances * factors
    # Of the assignments that were left out, a wrong one keeps a rule by chance: on the average their factor is 1.
    total = weighed.sum() + max(1 - chances.sum(), 0.0)
    best = int(weighed.argmax())
    for at, (name, candidates) in enumerate(fields.items()):
        found.chosen[name] = int(choices[best, at])
        found.probabilities[name] = np.bincount(choices[:, at], weighed, len(candidates.numbers)) / total
    found.verdicts.update({text: each[best] for text, each in verdicts.items()})


def _assignments(fields: Mapping[str, Candidates]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The ``KEPT`` likeliest assignments without any rule: probabilities, (N,), and the candidates, (N, fields)."""
    chances, choices = np.ones(1), np.zeros((1, 0), np.int64)
    for candidates in fields.values():
        each = len(candidates.numbers)
        found = (chances[:, None] * candidates.probabilities).ravel()
        order = np.argsort(-found, kind="stable")[:KEPT]
        chances, choices = found[order], np.column_stack([choices[order // each], order % each])
    return chances, choices


def _verdicts(
    rule: Rule, fields: Mapping[str, Candidates], choices: NDArray[np.int64], empty: Collection[str]
) -> list[bool | None]:
    """Whether each assignment keeps a rule."""
    columns = [(name, at) for at, name in enumerate(fields) if name in rule.names]
    numbers = {name: [int(number) for number in fields[name].numbers] for name, _ in columns}
    own, which = np.unique(choices[:, [at for _, at in columns]], axis=0, return_inverse=True)
    nothing: dict[str, int | None] = dict.fromkeys(rule.names)
    verdicts = [
        rule.holds(nothing | {name: numbers[name][at] for (name, _), at in zip(columns, row, strict=True)}, empty)
        for row in own.tolist()
    ]
    return [verdicts[at] for at in which.ravel().tolist()]
