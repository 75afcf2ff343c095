"""Rules across fields mean what they say, and a mistake in one is named with its place."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from mnist_batch.errors import InputError
from mnist_batch.forms import rules

NAMES = ("a", "b", "c", "total", "invalid votes", "größe", "x_1", "12")
NUMBERS = {"a": 2, "b": 3, "c": 5, "total": 10, "invalid votes": 4, "größe": 7, "x_1": 1, "12": 6}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("total = a + b + c", True),
        ("total = a+b", False),
        ("a + b = c", True),
        ("a <= b", True),
        ("b <= a", False),
        ("total < 100", True),
        ("total >= 11", False),
        ("a != a", False),
        ("b > a", True),
        ("c - b - a = 0", True),
        ("c - (b - a) = 4", True),
        ("-a + b = 1", True),
        ("a * b + c = 11", True),
        ("a + b * c = 17", True),
        ("2 * (a + b) = total", True),
        ('"invalid votes" = 2 * a', True),
        ("'invalid votes' + größe > total", True),
        ("x_1 = 1", True),
        ('"12" = 6', True),
        ("12 = a", False),
    ],
)
def test_a_rule_holds_or_not(text: str, holds: bool) -> None:
    rule = rules.parse(text, NAMES)
    assert rule.text == text
    assert rule.holds(NUMBERS) is holds


def test_a_rule_says_nothing_of_numbers_that_are_not_known() -> None:
    rule = rules.parse("total = a + b", NAMES)
    assert rule.names == ("total", "a", "b")
    assert rule.holds({"total": 5, "a": None, "b": 3}) is None


def test_an_empty_field_is_0_among_summands_and_not_known_alone() -> None:
    numbers = {"a": None, "b": 3, "c": None, "total": 3}
    assert rules.parse("total = a + b + c", NAMES).holds(numbers, empty={"a", "c"}) is True
    assert rules.parse("total = a + c", NAMES).holds(numbers, empty={"a", "c"}) is False
    assert rules.parse("a >= 18", NAMES).holds(numbers, empty={"a"}) is None
    assert rules.parse("a * b = total", NAMES).holds(numbers, empty={"a"}) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("total", "'total', character 6: expected one of = != < <= > >=, got the end"),
        ("total = ", "character 9: expected a field or a whole number, got the end"),
        ("total == a", "character 8: expected a field or a whole number, got '='"),
        ("a = b = c", "character 7: expected the end, got '='"),
        ("a b = c", "character 3: expected one of = != < <= > >=, got 'b'"),
        ("a = b c", "character 7: expected +, -, * or the end, got 'c'"),
        ("a / 2 = b", "character 3: expected a field, a whole number, + - * ( ) or a comparison, got '/'"),
        ("a = 1.5", "character 6: expected a field, a whole number, + - * ( ) or a comparison, got '.'"),
        ("a = (b + c", "character 11: expected +, -, * or ), got the end"),
        ("totl = a", "character 1: there is no field 'totl'; is it meant to be 'total'?"),
        ("votes = a", "character 1: there is no field 'votes'; 'invalid votes' has to stand in quotes"),
        ("zzz = a", "there is no field 'zzz'; the fields are a, b, c, total, invalid votes"),
        ("1 < 2", "'1 < 2' names no field"),
        ("(" * 21 + "a" + ")" * 21 + " = 1", "character 21: expected at most 20 parentheses in each other"),
        ("a = " + "1" * 101, "expected a whole number of at most 100 digits"),
        ("a = b" + " + b" * 300, "expected a rule of at most 1,000 characters, got 1,205; split it"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        rules.parse(text, NAMES)
    assert message in str(refused.value)


SUMS = st.recursive(
    st.sampled_from(["a", "b", "c", "0", "7", "20"]),
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from("+-*"), inner), inner.map("({})".format)
    ),
    max_leaves=6,
)


@given(SUMS, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), SUMS)
def test_a_rule_means_what_python_says(left: str, comparison: str, right: str) -> None:
    rule = rules.parse(f"a + {left} {comparison} -{right}", ("a", "b", "c"))
    same = "==" if comparison == "=" else comparison
    assert rule.holds(NUMBERS) is eval(f"a + {left} {same} -{right}", {}, dict(NUMBERS))


@given(st.text("abc 019+-*()<>=!'\"٣", max_size=30))
def test_whatever_stands_there_is_a_rule_or_refused_with_a_sentence(text: str) -> None:
    try:
        assert rules.parse(text, ("a", "b", "c")).text == text
    except InputError as refused:
        assert repr(text) in str(refused)
