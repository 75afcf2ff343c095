"""What a run as a whole says of its answers, in sentences: how like its calibration it is, and what is pale in it."""

from mnist_batch.schemas.facts import Published
from mnist_batch.schemas.likeness_facts import Difference, Likeness
from mnist_batch.wording import counted

LOOKS = {
    "stroke_width": ("stroke width", 1, "{:.1f} pixels of 28"),
    "ink_share": ("share of ink", 100, "{:.0f} %"),
    "proportions": ("width to height", 1, "{:.2f}"),
}
MOST = 2  # features that are named


def sentence(run: Published) -> str | None:
    """Whether the scans are like those of the calibration, why not, and what follows; None where it is not known."""
    found = run.likeness
    if found is None:
        return None
    if not found.unlike:
        return f"the scans are like those of the calibration: {_measured(found)}"
    return f"the scans are unlike those of the calibration: {_measured(found)}{_looks(found)}; {_consequence(run)}"


def pale_sentence(run: Published) -> str | None:
    """How many answers are withheld since their ink is far paler than the run's; None if none is."""
    if run.target_error is None or not run.pale:
        return None
    few = f"{counted(run.pale, 'answer')} {'is' if run.pale == 1 else 'are'}"
    return (
        f"{few} from ink far paler than the rest (less than {run.paler_than} grey levels from its paper), such as "
        "the back page showing through: not accepted"
    )


def _measured(found: Likeness) -> str:
    said = f"the answers are {found.uncertainty:.1f} times as uncertain (unlike above {found.uncertainty_level:.1f})"
    if found.uncertainty > found.uncertainty_level and (few := _few_expected_errors(found)):
        said = f"{said}, but {few}"
    if found.doubted <= found.doubted_level:
        return said
    share, level = 100 * found.doubted, 100 * found.doubted_level
    return f"{said}, and {share:.0f} % of them are doubted (unlike above {level:.0f} %)"


def _few_expected_errors(found: Likeness) -> str | None:
    """That few of the answers are expected to be wrong, though they are uncertain; None if that is not so."""
    times, level = found.expected_errors, found.expected_errors_level
    if times is None or level is None or times > level:
        return None
    return f"by their confidence only {times:.1f} times as many are wrong (unlike above {level:.1f})"


def _looks(found: Likeness) -> str:
    named = [_look(each) for each in found.differences[:MOST] if each.feature in LOOKS]
    return f"; {', '.join(named)}" if named else ""


def _look(difference: Difference) -> str:
    name, times, shape = LOOKS[difference.feature]
    ours, theirs = (shape.format(times * median) for median in (difference.median, difference.calibration_median))
    return f"{name} {ours} instead of {theirs}"


def _consequence(run: Published) -> str:
    if run.target_error is None:
        return "a --target-error would promise nothing for them"
    target = f"--target-error {run.target_error:g}"
    if run.trust_anyway:
        return f"{target} promises nothing for them, and --trust-anyway accepts them all the same"
    return (
        f"{target} promises nothing for them, so no answer is accepted: label some of them and run jobs.calibrate, "
        "or accept the answers as they are with --trust-anyway"
    )
