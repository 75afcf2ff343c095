"""The rule for fields: a target error is shared out among the digits of a number, and nothing more is promised."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from mnist_batch.forms.spans import FieldStatus
from mnist_batch.forms.values import FieldValue
from mnist_batch.models import bundle, certifying, field_rule
from mnist_batch.models.field_rule import MOST_DIGITS
from mnist_batch.schemas.bundle_facts import Calibration, CalibrationSet

OK = FieldStatus.OK


def of(errors: int, answers: int, **fields: CalibrationSet) -> Calibration:
    """A calibration by so many answers; the least sure ones are the errors."""
    sure = np.linspace(1, 0.5, answers, dtype=np.float32)
    thresholds = certifying.risks(sure, np.arange(answers) < answers - errors)
    return Calibration(1, 0.95, 0, (CalibrationSet("own", answers, thresholds),), **fields)


def value(number: str, confidence: float = 0.9999, least_sure: float = 0.9999, **more: object) -> FieldValue:
    return FieldValue("f", OK, clear=True, value=number, confidence=confidence, least_sure=least_sure, **more)


@given(st.integers(0, 30), st.integers(100, 6_000), st.sampled_from([0.005, 0.01, 0.02, 0.1]))
def test_each_digit_has_its_share_of_the_target_and_a_longer_number_is_never_easier(
    errors: int, answers: int, target: float
) -> None:
    made = of(errors, answers)
    rule = field_rule.thresholds(made, target)
    assert rule.number == 1 - target
    for certified, by_chance in ((rule.digits, 1), (rule.spoken_for, 0.1)):
        assert len(certified) == MOST_DIGITS
        for digits, threshold in enumerate(certified, 1):
            share = min(target / (digits * by_chance), 0.1)
            assert threshold == certifying.last_certified(made.sets[0].thresholds, share, 0.95)
        known = [threshold for threshold in certified if threshold is not None]
        assert known == sorted(known)
        assert all(threshold is None for threshold in certified[len(known) :])


def test_a_number_is_accepted_if_it_and_each_of_its_digits_are_sure_enough() -> None:
    rule = field_rule.thresholds(of(5, 3_000), 0.01)
    [two] = rule.digits[1:2]
    assert field_rule.accepts(rule, value("12"))
    assert field_rule.accepts(rule, value("12", least_sure=two))
    assert not field_rule.accepts(rule, value("12", least_sure=np.nextafter(two, 0)))
    assert not field_rule.accepts(rule, value("12", confidence=0.98))
    assert not field_rule.accepts(rule, value("12", least_sure=0.0))  # repaired


def test_a_number_too_long_for_the_labels_is_not_accepted_unless_a_check_digit_speaks_for_it() -> None:
    rule = field_rule.thresholds(of(0, 1_000), 0.01)
    longest = field_rule.most_digits(rule.digits)
    assert 0 < longest < 10 < field_rule.most_digits(rule.spoken_for)
    assert field_rule.accepts(rule, value("1" * longest))
    assert not field_rule.accepts(rule, value("1" * (longest + 1)))
    assert field_rule.accepts(rule, value("1" * (longest + 1), spoken_for=True))
    assert not field_rule.accepts(rule, value("1" * (MOST_DIGITS + 1), spoken_for=True))
    [said] = field_rule.sentences(rule, 0.01)
    assert said.startswith(f"numbers of more than {longest} digits that no check digit or equation speaks for")
    assert "jobs.calibrate" in said
    assert field_rule.sentences(rule, 0.01, longest) == []
    [shorter] = field_rule.sentences(rule, 0.01, longest + 1)
    assert shorter.startswith(f"numbers of more than {longest} digits that no check digit or equation speaks for are")


@pytest.mark.parametrize("status", FieldStatus)
@pytest.mark.parametrize("clear", [True, False])
def test_what_has_no_value_is_accepted_only_if_it_is_rightly_empty(status: FieldStatus, clear: bool) -> None:
    rule = field_rule.thresholds(of(0, 1_000), 0.01)
    accepted = field_rule.accepts(rule, FieldValue("f", status, clear=clear))
    assert accepted == (clear and status == FieldStatus.EMPTY)


def test_what_is_not_clear_is_never_accepted() -> None:
    rule = field_rule.thresholds(of(0, 1_000), 0.01)
    assert field_rule.accepts(rule, value("1"))
    assert not field_rule.accepts(rule, FieldValue("f", OK, clear=False, value="1", confidence=1, least_sure=1))


def test_labelled_fields_certify_whole_numbers_whatever_their_digits() -> None:
    sure = np.linspace(1, 0.5, 1_000, dtype=np.float32)
    fields = CalibrationSet("fields", 1_000, certifying.risks(sure, np.full(1_000, True)))
    rule = field_rule.thresholds(of(0, 10, fields=fields), 0.01)
    assert rule == field_rule.FieldThresholds(0.5)
    assert field_rule.accepts(rule, value("1" * 30, confidence=0.5, least_sure=0.0))
    assert not field_rule.accepts(rule, value("1", confidence=0.49))
    assert field_rule.sentences(rule, 0.01) == []


def test_labelled_fields_that_certify_nothing_let_nothing_be_accepted_and_it_is_said() -> None:
    fields = CalibrationSet("fields", 10, certifying.risks(np.ones(10, np.float32), np.full(10, True)))
    rule = field_rule.thresholds(of(0, 1_000, fields=fields), 0.01)
    assert rule == field_rule.FieldThresholds(None)
    assert not field_rule.accepts(rule, value("1", confidence=1.0))
    assert field_rule.accepts(rule, FieldValue("f", FieldStatus.EMPTY, clear=True))
    assert "no number is accepted" in field_rule.sentences(rule, 0.01)[0]


def test_a_source_with_labelled_fields_of_its_own_has_its_own_threshold() -> None:
    sure = np.linspace(1, 0.5, 1_000, dtype=np.float32)
    whole, own = (CalibrationSet(name, 1_000, certifying.risks(sure, sure >= least)) for name, least in
                  (("fields", 0.7), ("/good", 0.0)))  # fmt: skip
    few = CalibrationSet("/few", 10, certifying.risks(np.ones(10, np.float32), np.full(10, True)))
    rule = field_rule.thresholds(of(0, 10, fields=whole, fields_by_source=(own, few)), 0.01)
    assert rule.by_source == {"/good": 0.5, "/few": None}
    assert 0.68 < rule.number < 0.75
    unsure = value("12", confidence=0.6)
    assert field_rule.accepts(rule, unsure, "/good")
    assert not field_rule.accepts(rule, unsure, "/elsewhere")
    assert field_rule.accepts(rule, value("12", confidence=0.99), "/elsewhere")
    assert not field_rule.accepts(rule, value("12", confidence=1.0), "/few")
    assert field_rule.sentences(rule, 0.01) == ["no number is accepted of /few, whose own labels certify no 0.01"]


def test_the_shipped_bundle_certifies_fields() -> None:
    rule = field_rule.thresholds(bundle.open_bundle(bundle.SHIPPED).facts.calibration, 0.01)
    assert field_rule.most_digits(rule.digits) >= 5
    assert field_rule.most_digits(rule.spoken_for) == MOST_DIGITS
