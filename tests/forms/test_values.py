"""The numbers in fields: check digits and rules are weighed in by Bayes' rule, and nothing that fails is accepted."""

from itertools import product

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from mnist_batch.forms import checks, rules, together
from mnist_batch.forms.checks import Check
from mnist_batch.forms.form import Box, Digits, Field, Form
from mnist_batch.forms.likeliest import candidates, weights
from mnist_batch.forms.spans import CellAnswer
from mnist_batch.forms.values import DOUBTED, UNSEEN, WRONG_CHECK, FieldValue, values_of_copy

BLANK = CellAnswer("blank")


def digit(digit: int, sure: float = 0.999, second: int | None = None) -> CellAnswer:
    """A cell with this digit; what is left is for the second, or for all other digits alike."""
    probabilities = np.full(10, (1 - sure) / 9 if second is None else 0.0)
    if second is not None:
        probabilities[second] = 1 - sure
    probabilities[digit] = sure
    return CellAnswer("ok", probabilities)


def written(number: str, cells: int = 4, sure: float = 0.999) -> list[CellAnswer]:
    """A number at the right end of so many cells."""
    return [BLANK] * (cells - len(number)) + [digit(int(each), sure) for each in number]


def field(name: str, cells: int = 4, check: Check | None = None, required: bool = False) -> Field:
    boxes = tuple(Box(10 * at, 0, 10, 10) for at in range(cells))
    return Field(name, 0, boxes, Digits(1, cells, "right"), required, check)


def read(cells: dict[str, list[CellAnswer]], *rules: str, **check: Check) -> dict[str, FieldValue]:
    """The values of fields with these cells."""
    fields = {name: field(name, len(each), check.get(name)) for name, each in cells.items()}
    form = Form("form", None, (), tuple(fields.values()), rules)
    return {each.field: each for each in values_of_copy(form, [(fields[name], cells[name]) for name in cells])}


def test_without_check_and_rules_a_value_is_as_likely_as_its_digits_together() -> None:
    value = read({"a": [BLANK, digit(4, 0.9), digit(0, 0.8, second=6)]})["a"]
    assert (value.status, value.value, value.digits, value.clear, value.reason) == ("ok", "40", 2, True, None)
    seen = 1 - UNSEEN
    assert value.confidence == pytest.approx((0.9 * seen + UNSEEN / 10) * (0.8 * seen + UNSEEN / 10))
    assert value.alternative == "46"
    assert (value.least_sure, value.spoken_for) == (0.8, False)


def test_leading_zeros_are_kept() -> None:
    assert read({"a": written("007")})["a"].value == "007"


def test_what_is_doubted_has_a_value_and_is_never_accepted() -> None:
    cells = written("12")
    cells[3] = CellAnswer("ok", cells[3].probabilities, doubted=True)
    value = read({"a": cells})["a"]
    assert (value.value, value.clear, value.reason) == ("12", False, DOUBTED)


def test_a_field_without_a_number_has_its_reason() -> None:
    value = read({"a": [digit(1), BLANK, digit(2)]})["a"]
    assert value == FieldValue("a", value.status, "cell 2 is blank between digits")
    assert value.status == "incomplete"


def test_a_right_check_digit_makes_surer() -> None:
    alone = read({"a": written("1230", sure=0.97)})["a"]
    value = read({"a": written("1230", sure=0.97)}, a=Check("luhn"))["a"]
    assert (value.value, value.check, value.clear, value.spoken_for) == ("1230", "passed", True, True)
    assert value.confidence > 0.99 > alone.confidence
    assert value.least_sure == alone.least_sure


def test_a_digit_between_two_is_the_one_with_the_right_check_digit_and_speaks_for_itself_no_more() -> None:
    cells = [digit(1), digit(2), digit(8, 0.6, second=3), digit(0)]
    value = read({"a": cells}, a=Check("luhn"))["a"]
    assert (value.value, value.check, value.clear) == ("1230", "passed", True)
    assert value.reason == "repaired: its cells alone read 1280"
    assert (value.least_sure, value.spoken_for) == (0, False)
    assert value.confidence < read({"a": written("1230")}, a=Check("luhn"))["a"].confidence


def test_a_wrong_check_digit_is_never_accepted() -> None:
    value = read({"a": written("1231", sure=0.9999)}, a=Check("luhn"))["a"]
    assert (value.value, value.check, value.clear, value.reason) == ("1231", "failed", False, WRONG_CHECK)
    assert value.alternative is not None
    assert checks.passes(Check("luhn"), value.alternative)


def test_a_sum_that_adds_up_makes_surer() -> None:
    cells = {"a": written("12"), "b": written("30"), "total": written("42")}
    with_rule, without = read(cells, "total = a + b"), read(cells)
    for name in cells:
        assert with_rule[name].value == without[name].value
        assert with_rule[name].confidence > without[name].confidence
        assert (with_rule[name].spoken_for, without[name].spoken_for) == (True, False)


def test_the_sum_of_a_writer_who_miscounts_is_an_answer_of_its_own() -> None:
    rule = "total = a + b"
    found = read({"a": written("12"), "b": written("30"), "total": written("43")}, rule)
    assert [found[name].value for name in found] == ["12", "30", "43"]
    for value in found.values():
        assert (value.rules_failed, value.reason, value.spoken_for) == ((rule,), None, False)
        assert value.confidence < 0.97  # one of them may well be misread


def test_a_doubtful_digit_follows_from_a_sum() -> None:
    cells = {"a": [digit(1), digit(8, 0.6, second=2)], "b": written("30"), "total": written("42")}
    found = read(cells, "total = a + b")
    assert (found["a"].value, found["a"].reason) == ("12", "repaired: its cells alone read 18")
    assert [each.rules_failed for each in found.values()] == [(), (), ()]
    assert [each.spoken_for for each in found.values()] == [False] * 3


def test_an_empty_field_counts_as_0_and_a_required_one_is_not_known() -> None:
    fields = [field("a"), field("b"), field("total")]
    cells = [written("12"), written(""), written("13")]
    for required, failed in ((False, ("total = a + b",)), (True, ())):
        fields[1] = field("b", required=required)
        form = Form("form", None, (), tuple(fields), ("total = a + b",))
        found = values_of_copy(form, [*zip(fields, cells, strict=True)])
        assert [found[0].rules_failed, found[2].rules_failed] == [failed, failed]


def test_a_rule_of_a_field_that_is_not_given_says_nothing() -> None:
    form = Form("form", None, (), (field("a"), field("b")), ("a = b",))
    [value] = values_of_copy(form, [(field("a"), written("12"))])
    assert value.rules_failed == ()
    assert value == read({"a": written("12")})["a"]


def test_a_rule_that_any_number_keeps_does_not_speak_for_it() -> None:
    found = read({"a": written("12"), "b": written("0"), "c": written("0")}, "c = a * b")
    assert [found[name].spoken_for for name in "abc"] == [False, True, True]
    weighed = read({"a": written("12")}, a=Check("mod11_weights", (0, 0, 4, 9)))["a"]
    assert (weighed.check, weighed.spoken_for) == ("passed", False)


CELLS = st.tuples(st.integers(1, 2), st.integers(0, 2**32 - 1)).map(
    lambda drawn: np.random.default_rng(drawn[1]).dirichlet([0.3] * 10, drawn[0])
)
RULES = st.lists(st.sampled_from(["a = b", "a <= b", "c = a + b", "c != a", "b < 50", "2 * a > c"]), max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.tuples(CELLS, CELLS, CELLS), RULES, st.sets(st.sampled_from("abc"), max_size=1))
def test_fields_together_are_what_trying_every_assignment_finds(
    cells: tuple[NDArray[np.float64], ...], texts: list[str], empty: set[str]
) -> None:
    names = "abc"
    parsed = [rules.parse(text, names) for text in texts]
    fields = {name: candidates(each, None, 4) for name, each in zip(names, cells, strict=True) if name not in empty}
    found = together.agreed(fields, parsed, empty)
    marginals = {name: np.zeros(len(fields[name].numbers)) for name in fields}
    total = rest = 1.0
    total -= 1.0
    for each in product(*(range(len(fields[name].numbers)) for name in fields)):
        chosen = dict(zip(fields, each, strict=True))
        numbers = {name: int(fields[name].numbers[at]) for name, at in chosen.items()}
        weight = float(np.prod([fields[name].probabilities[at] for name, at in chosen.items()]))
        rest -= weight
        for rule in {rule.text: rule for rule in parsed}.values():
            holds = rule.holds(dict.fromkeys(names) | numbers, empty)
            kept, broken = weights(rule.by_chance, together.MISCOUNTED)
            weight *= 1 if holds is None else kept if holds else broken
        total += weight
        for name, at in chosen.items():
            marginals[name][at] += weight
    groups = len({frozenset(group) for group in together._groups(fields, parsed)})
    if groups == 1:
        for name in fields:
            np.testing.assert_allclose(found.probabilities[name], marginals[name] / (total + rest), atol=1e-9)
            assert found.probabilities[name].sum() <= 1 + 1e-9
    for rule in parsed:
        numbers = {name: int(fields[name].numbers[found.chosen[name]]) for name in fields}
        assert found.verdicts[rule.text] is rule.holds(dict.fromkeys(names) | numbers, empty)


@settings(max_examples=60, deadline=None)
@given(st.tuples(CELLS, CELLS, CELLS), RULES, st.randoms(use_true_random=False))
def test_neither_the_order_of_rules_nor_one_that_stands_twice_changes_anything(
    cells: tuple[NDArray[np.float64], ...], texts: list[str], random: object
) -> None:
    rows = {name: [CellAnswer("ok", row) for row in each] for name, each in zip("abc", cells, strict=True)}
    shuffled = [*texts, *texts[:1]]
    random.shuffle(shuffled)
    one, other = read(rows, *texts), read(rows, *shuffled)
    for name in rows:
        assert set(one[name].rules_failed) == set(other[name].rules_failed)
        assert {**vars(one[name]), "rules_failed": ()} == {**vars(other[name]), "rules_failed": ()}
        assert one[name].confidence + (one[name].alternative_confidence or 0) <= 1 + 1e-9


@settings(max_examples=100, deadline=None)
@given(CELLS, st.sampled_from(checks.NAMES))
def test_a_value_said_to_pass_passes(cells: NDArray[np.float64], name: str) -> None:
    check = Check(name, (3, 2) if name == checks.WEIGHTED else ())
    value = read({"a": [CellAnswer("ok", row) for row in cells]}, a=check)["a"]
    assert checks.passes(check, value.value or "") == (value.check == "passed")
    assert value.clear == (value.check == "passed")
    assert value.alternative is None or checks.passes(check, value.alternative)
    assert value.confidence + (value.alternative_confidence or 0) <= 1 + 1e-9
