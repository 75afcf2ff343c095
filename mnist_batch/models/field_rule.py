"""The rule for fields of forms: which numbers to accept so that at most a target share of them is wrong."""

from collections.abc import Mapping

from mnist_batch.forms.spans import FieldStatus
from mnist_batch.forms.values import FieldValue
from mnist_batch.models import certifying
from mnist_batch.schemas.bundle_facts import Calibration, CalibrationSet
from mnist_batch.schemas.facts import FieldThresholds
from mnist_batch.wording import counted

PASSES_BY_CHANCE = 0.1  # how often a wrong number passes its check digit, or keeps an equation
LARGEST = 0.1  # error of a digit that a check may make up for
MOST_DIGITS = 20  # of a number that digits certify


def thresholds(calibration: Calibration, target_error: float) -> FieldThresholds:
    """The thresholds for fields at a target error, as a run records them.

    A calibration by labelled fields certifies the confidence of whole numbers, also of each source if it has sets by
    source. One by digits certifies digits only: the target is shared out among those of a number, and each of them has
    to reach the threshold of its share. Where a check digit or an equation speaks for a number as its cells read it, a
    wrong one passes in 1 of 10 cases, so that each digit may be wrong ten times as often. This holds unless wrong
    digits make it likelier that all others of their number are sure.
    """
    if calibration.fields:

        def of_set(fields: CalibrationSet) -> float | None:
            return certifying.last_certified(fields.thresholds, target_error, calibration.level)

        by_source = {each.name: of_set(each) for each in calibration.fields_by_source}
        return FieldThresholds(of_set(calibration.fields), by_source=by_source or None)

    def certified(by_chance: float) -> tuple[float | None, ...]:
        shares = [min(target_error / (digits * by_chance), LARGEST) for digits in range(1, MOST_DIGITS + 1)]
        return tuple(certifying.strictest_certified(calibration, share) for share in shares)

    return FieldThresholds(1 - target_error, certified(1), certified(PASSES_BY_CHANCE))


def accepts(rule: FieldThresholds, value: FieldValue, source: str = "") -> bool:
    """Whether a field of a scan of ``source`` is accepted: it is clear, and rightly empty or sure enough."""
    if not value.clear or value.value is None or value.confidence is None:
        return value.clear and value.status == FieldStatus.EMPTY
    own: Mapping[str, float | None] = rule.by_source or {}
    number = own.get(source, rule.number)
    if number is None or value.confidence < number:
        return False
    if rule.digits is None or rule.spoken_for is None:
        return True
    certified = rule.spoken_for if value.spoken_for else rule.digits
    threshold = certified[len(value.value) - 1] if len(value.value) <= len(certified) else None
    return threshold is not None and value.least_sure >= threshold


def most_digits(certified: tuple[float | None, ...]) -> int:
    """The most digits that a number may have to be accepted."""
    return max((digits for digits, threshold in enumerate(certified, 1) if threshold is not None), default=0)


def sentences(rule: FieldThresholds, target_error: float, longest: int = MOST_DIGITS) -> list[str]:
    """What a rule never accepts however sure it is, and what to do about it; fields have up to ``longest`` digits."""
    remedy = "label fields of this run and give it to jobs.calibrate, or give a larger --target-error"
    if rule.digits is None or rule.spoken_for is None:
        closed = [source for source, number in (rule.by_source or {}).items() if number is None]
        said = [f"no number is accepted of {', '.join(closed)}, whose own labels certify no {target_error:g}"]
        if rule.number is not None:
            return said if closed else []
        others = " of other sources" if rule.by_source else ""
        none = f"no number{others} is accepted: the labelled fields certify no error of {target_error:g}; {remedy}"
        return [none, *(said if closed else [])]
    alone, spoken_for = most_digits(rule.digits), most_digits(rule.spoken_for)
    if alone >= min(longest, MOST_DIGITS):
        return []
    longer = f"of more than {counted(alone, 'digit')}" if alone else "without a check digit or an equation"
    with_one = f", and of more than {spoken_for} with one," if alone and spoken_for < min(longest, MOST_DIGITS) else ""
    speaks = " that no check digit or equation speaks for" if alone else ""
    return [
        f"numbers {longer}{speaks}{with_one} are never accepted: the digits that the model was calibrated on certify "
        f"{target_error:g} for no longer ones; {remedy}"
    ]
