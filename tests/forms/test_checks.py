"""Check digits: numbers of the world pass, every wrong digit is found, and the automaton says what the check says."""

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given

from mnist_batch.forms import checks
from mnist_batch.forms.checks import Check

ISBN = (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
CHECKS = [Check(name, ISBN if name == checks.WEIGHTED else ()) for name in checks.NAMES]
NUMBERS = st.text("0123456789", min_size=1, max_size=10)


@pytest.mark.parametrize(
    ("check", "number"),
    [
        (Check("luhn"), "79927398713"),
        (Check("luhn"), "490154203237518"),  # an IMEI
        (Check("mod10_ean"), "4006381333931"),
        (Check("mod10_ean"), "96385074"),  # EAN-8
        (Check("iso7064_mod11_2"), "0000000218250097"),  # an ORCID
        (Check("iso7064_mod11_10"), "86095742719"),  # a German tax number
        (Check("iso7064_mod11_10"), "33392005961"),  # a Croatian OIB
        (Check("iso7064_mod97_10"), "9999123456789012141490"),
        (Check("verhoeff"), "2363"),
        (Check("damm"), "5724"),
        (Check("mod11_weights", ISBN), "0306406152"),
        (Check("mod11_weights", (9, 8, 7, 6, 5, 4, 3, 2, 10)), "111222333"),  # a Dutch BSN
    ],
)
def test_numbers_of_the_world_pass_and_no_other_digit_in_their_place_does(check: Check, number: str) -> None:
    assert checks.passes(check, number)
    for at, digit in enumerate(number):
        for other in set("0123456789") - {digit}:
            assert not checks.passes(check, number[:at] + other + number[at + 1 :])


@pytest.mark.parametrize("check", CHECKS, ids=checks.NAMES)
def test_the_automaton_ends_in_its_valid_state_for_just_the_numbers_that_pass(check: Check) -> None:
    @given(NUMBERS)
    def law(number: str) -> None:
        found = checks.automaton(check, len(number))
        state = 0
        for step, digit in zip(found.steps, number if found.from_left else number[::-1], strict=True):
            state = int(step[state, int(digit)])
        assert (state == found.valid) == checks.passes(check, number)

    law()


@pytest.mark.parametrize("check", CHECKS, ids=checks.NAMES)
def test_as_many_numbers_pass_as_are_said_to_pass_by_chance(check: Check) -> None:
    passing = sum(checks.passes(check, f"{number:04}") for number in range(10_000))
    assert abs(passing / 10_000 - checks.by_chance(check)) < 0.0011


@given(NUMBERS, st.lists(st.integers(0, 20), min_size=1, max_size=10))
def test_weights_belong_to_the_last_digits_of_a_number(number: str, weights: list[int]) -> None:
    assume(len(number) <= len(weights))
    total = sum(int(digit) * weight for digit, weight in zip(number[::-1], weights[::-1], strict=False))
    assert checks.passes(Check("mod11_weights", tuple(weights)), number) == (total % 11 == 0)


def test_a_number_that_no_check_can_be_made_of_does_not_pass() -> None:
    assert not any(checks.passes(check, value) for check in CHECKS for value in ("", "1x", "-0", "٠"))
    assert not checks.passes(Check("mod11_weights", (1, 1)), "000")
    assert checks.most_digits(Check("mod11_weights", (1, 1)), 3) == 2
    assert checks.most_digits(Check("luhn"), 3) == 3
