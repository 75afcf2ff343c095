"""For what the promise of a run holds, in sentences: what its model was calibrated on, and whose digits these were."""

from mnist_batch.models import field_rule
from mnist_batch.schemas.facts import RunFacts
from mnist_batch.wording import counted


def sentences(run: RunFacts) -> list[str]:
    """On what the model of a run was calibrated; then, with a target error, what its promise does not hold for."""
    on = run.calibration
    if on is None:
        return []
    sets = " and ".join(f"{counted(digits, 'digit')} of {name}" for name, digits in on.sets.items())
    said = [f"calibrated on {sets}" + (f", on {on.made}" if on.made else "")]
    if run.target_error is None:
        return said
    if not on.own:
        said.append(
            f"--target-error {run.target_error:g} was certified on other people's digits and is kept for scans like "
            "those: to have it certified on your own, label some hundred of them and run jobs.calibrate"
        )
    if run.field_thresholds:
        lengths = [field_rule.MOST_DIGITS if form.most_digits is None else form.most_digits for form in run.forms]
        return [*said, *field_rule.sentences(run.field_thresholds, run.target_error, max(lengths, default=0))]
    if closed := [source for source, threshold in (run.by_source or {}).items() if threshold is None]:
        said.append(f"nothing is accepted of {', '.join(closed)}, whose own labels certify no {run.target_error:g}")
    return said
