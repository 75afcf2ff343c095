"""What bundles and runs record of the scans they saw, and how like they are, as dataclasses."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """What a model saw of scans, and how sure it was of them, as counts that add up.

    ``answered`` are the pages with an answer. ``doubted`` of the answers are never accepted. ``counts`` has, for each
    of ``likeness.FEATURES``, the answers that a rule may accept by the feature's bins.
    """

    answered: int
    doubted: int
    counts: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Difference:
    """A feature that differs: its median in the run and in the calibration, and their Kolmogorov-Smirnov distance."""

    feature: str
    median: float
    calibration_median: float
    distance: float


@dataclass(frozen=True)
class Likeness:
    """How like the scans of a run are to those of a calibration, from ``answers`` that a rule may accept.

    ``uncertainty`` is how many times as unsure these are as those of the calibration, in the mean of the square root
    of 1 - confidence. ``expected_errors`` is how many times as many of them are wrong by their own confidence, in the
    mean of 1 - confidence; None in runs of versions that did not ask. ``doubted`` is the share of all answers that are
    doubted. A run is ``unlike`` if the first two or the third are above their levels, of which those of ``uncertainty``
    and ``doubted`` are higher for small runs. ``differences`` are the features of the strokes that differ, the most
    different first.
    """

    answers: int
    uncertainty: float
    uncertainty_level: float
    doubted: float
    doubted_level: float
    unlike: bool
    differences: tuple[Difference, ...]
    expected_errors: float | None = None
    expected_errors_level: float | None = None


@dataclass(frozen=True)
class Judgement:
    """What a run as a whole says of each of its answers, which no scan can say alone.

    ``likeness`` is None where that is not known. No answer is accepted whose ink differs from its paper by fewer grey
    levels than ``paler_than``, which is None for a run that is too small to say what is pale in it.
    """

    likeness: Likeness | None
    paler_than: int | None
