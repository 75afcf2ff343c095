"""Whether a model's first net is asked before the others: not where the others alone certify what is to be promised."""

from mnist_batch.models import certifying, field_rule
from mnist_batch.schemas.bundle_facts import BundleFacts, Calibration


def asks_first(facts: BundleFacts, target_error: float | None, with_forms: bool) -> bool:
    """Whether a run with this target error asks the first net; ``with_forms``: numbers of forms are accepted.

    A small net ranks its answers less well: it certifies no error as small as the larger ones do.
    """
    first, every = facts.first_calibration, facts.calibration
    if first is None or every is None or target_error is None:
        return first is not None
    if certifying.strictest_certified(first, target_error) is None:
        return False
    return not with_forms or _most_digits(first, target_error) >= _most_digits(every, target_error)


def _most_digits(calibration: Calibration, target_error: float) -> tuple[int, int]:
    """How long a number may be to be accepted: by itself, and with a check digit or an equation."""
    rule = field_rule.thresholds(calibration, target_error)
    return field_rule.most_digits(rule.digits or ()), field_rule.most_digits(rule.spoken_for or ())
