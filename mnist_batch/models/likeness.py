"""How like the scans of a run are to those that its model was calibrated on.

A calibration promises an error for scans like its own. Whether others are like them is told by how sure the model is:
scans that are read wrongly more often raise its doubts first. The look of the strokes is compared, too: it explains.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mnist_batch.models.answers import Answers
from mnist_batch.pixels import thick_pens
from mnist_batch.schemas.likeness_facts import Difference, Likeness, Profile
from mnist_batch.statuses import Status

# Chosen by benchmarks/likeness.py; docs/likeness.md has its tables.
UNCERTAINTY_LEVEL = 2.4  # times that of the calibration
EXPECTED_ERRORS_LEVEL = 4.5  # times those of the calibration; scans of which all are a little unsure have fewer
DOUBTED_LEVEL = 0.15  # more than the share of doubted answers in the calibration
BY_CHANCE = 0.001  # how often a run of the calibration's own scans, of any size, may be called unlike
RESAMPLES = 10_000


@dataclass(frozen=True)
class Feature:
    """A number that each answered picture has, counted in bins; what is beyond the edges is in the outermost bins."""

    title: str
    edges: NDArray[np.float64]

    def counts(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """How many values are in each bin, int64 (bins,)."""
        at = np.searchsorted(self.edges[1:-1], values, side="right")
        return np.bincount(at, minlength=len(self.edges) - 1)

    def median(self, counts: NDArray[np.int64]) -> float:
        """The median of the values in the bins, as if each bin were evenly filled."""
        below = np.concatenate([[0], np.cumsum(counts)])
        return float(np.interp(below[-1] / 2, below, self.edges))


FEATURES: Mapping[str, Feature] = {
    "confidence": Feature("confidence", np.append(1 - 10.0 ** (-np.arange(28) / 4), 1)),
    "stroke_width": Feature("stroke width, in pixels of 28", np.arange(0, 8.5, 0.5)),
    "ink_share": Feature("share of the picture that is ink", np.arange(0, 0.41, 0.025)),
    "proportions": Feature("width of the digit / its height", np.arange(0, 2.1, 0.125)),
}
EMPTY = Profile(0, 0, {name: (0,) * (len(feature.edges) - 1) for name, feature in FEATURES.items()})
LOOKS = ("stroke_width", "ink_share", "proportions")
# By its confidence an answer is wrong with 1 - confidence: digits that are strange, but plain to read, make a model a
# little unsure of all of them, and few errors are expected. The uncertainty of an answer is the square root of that:
# its mean is ruled neither by the few answers that the model hardly believes nor by the many that it is sure of.
_EXPECTED_ERRORS = 10.0 ** (-(np.arange(28) + 0.5) / 4)
_UNCERTAINTIES = np.sqrt(_EXPECTED_ERRORS)


def profile_of(pictures: NDArray[np.uint8], answers: Answers) -> Profile:
    """The profile of N pictures, uint8 (N, 28, 28), and their answers."""
    answered = answers.digit >= 0
    clear, doubted = answered & ~answers.doubted, answered & answers.doubted
    return profile(pictures[clear], answers.confidence[clear], int(answered.sum()), int(doubted.sum()))


def profile_of_rows(rows: pa.Table, pictures: NDArray[np.uint8]) -> Profile:
    """The profile of N rows as ``answers.answer`` makes them, and what the model saw of them, uint8 (N, 28, 28)."""
    clear, doubted = rows["clear"].to_numpy(), rows["doubted"].to_numpy()
    answered = pc.sum(pc.equal(rows["status"], Status.OK)).as_py() or 0
    return profile(pictures[clear], rows["confidence"].to_numpy()[clear], answered, int(doubted.sum()))


def profile(pictures: NDArray[np.uint8], confidence: NDArray[Any], answered: int, doubted: int) -> Profile:
    """The profile of ``answered`` pages: ``pictures`` and ``confidence`` of the answers that a rule may accept."""
    values = {"confidence": np.asarray(confidence, np.float64), **measured(pictures)}
    counts = {name: tuple(feature.counts(values[name]).tolist()) for name, feature in FEATURES.items()}
    return Profile(answered, doubted, counts)


def recalibrated(run: Profile, confidence: NDArray[Any]) -> Profile:
    """The profile of a calibration by some answers of a run, from that of the run and these answers' new confidence."""
    counts = {"confidence": tuple(FEATURES["confidence"].counts(np.asarray(confidence, np.float64)).tolist())}
    return replace(run, counts=run.counts | counts)


def merged(profiles: Iterable[Profile]) -> Profile:
    """The profile of all scans of these profiles."""
    every = [EMPTY, *profiles]
    counts = {name: tuple(np.sum([each.counts[name] for each in every], axis=0).tolist()) for name in FEATURES}
    return Profile(sum(each.answered for each in every), sum(each.doubted for each in every), counts)


def measured(pictures: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """The features of N pictures that hold ink, float64 (N,) each."""
    seen = pictures > 63
    width, height = seen.any(axis=1).sum(axis=1), seen.any(axis=2).sum(axis=1)
    return {
        "stroke_width": thick_pens.stroke_widths(pictures),
        "ink_share": pictures.sum(axis=(1, 2), dtype=np.int64) / (255 * 28 * 28),
        "proportions": width / np.maximum(height, 1),
    }


def nearest(run: Profile, calibrations: Iterable[Profile]) -> Likeness | None:
    """Compare a run with each set of a calibration; the result is for the set that it is most like, None without any.

    What the calibration promises holds for scans like those of any of its sets.
    """
    found = [each for each in (compare(run, calibration) for calibration in calibrations) if each]
    return min(found, key=lambda each: (each.unlike, each.uncertainty), default=None)


def compare(run: Profile, calibration: Profile) -> Likeness | None:
    """Compare a run with a calibration; None if one of them has no answer that a rule may accept.

    The levels are what matters, or what is beyond chance where that is more: runs of a few scans of the calibration
    itself differ widely. Those who are more uncertain are unlike only if more of them are expected wrong, too.
    """
    ours, theirs = (np.array(each.counts["confidence"]) for each in (run, calibration))
    if not (ours.any() and theirs.any()):
        return None
    uncertainty, doubted = _uncertainty(ours) / _uncertainty(theirs), run.doubted / run.answered
    uncertainty_level = max(UNCERTAINTY_LEVEL, _by_chance(int(ours.sum()), calibration.counts["confidence"]))
    expected_errors = _mean(ours, _EXPECTED_ERRORS) / _mean(theirs, _EXPECTED_ERRORS)
    doubted_level = _doubted_level(run.answered, calibration)
    unsure = uncertainty > uncertainty_level and expected_errors > EXPECTED_ERRORS_LEVEL
    return Likeness(
        answers=int(ours.sum()),
        uncertainty=float(uncertainty),
        uncertainty_level=float(uncertainty_level),
        doubted=doubted,
        doubted_level=doubted_level,
        unlike=bool(unsure or doubted > doubted_level),
        differences=_differences(run, calibration),
        expected_errors=float(expected_errors),
        expected_errors_level=EXPECTED_ERRORS_LEVEL,
    )


def _uncertainty(counts: NDArray[np.int64]) -> Any:
    return _mean(counts, _UNCERTAINTIES)


def _mean(counts: NDArray[np.int64], values: NDArray[np.float64]) -> Any:
    """The mean of the values that the bins of confidence stand for, by the answers in them."""
    return counts @ values / counts.sum(axis=-1)


@cache
def _by_chance(answers: int, calibration: tuple[int, ...]) -> float:
    """The uncertainty that so many answers of the calibration itself exceed in a share ``BY_CHANCE`` of resamples.

    Both are drawn anew, since a calibration on few scans is as much by chance as a small run.
    """
    shares, random = np.array(calibration) / sum(calibration), np.random.default_rng(0)
    ours, theirs = (_uncertainty(random.multinomial(size, shares, RESAMPLES)) for size in (answers, sum(calibration)))
    return float(np.quantile(ours / theirs, 1 - BY_CHANCE))


def _doubted_level(answered: int, calibration: Profile) -> float:
    share = (calibration.doubted + 1) / (calibration.answered + 2)  # Laplace's rule: none among a hundred is not never
    return float(max(share + DOUBTED_LEVEL, _most_by_chance(answered, share) / answered))


def _most_by_chance(trials: int, share: float) -> int:
    """The smallest number of successes that is exceeded with a chance of at most ``BY_CHANCE``.

    As ``scipy.stats.binom.ppf``, whose import takes a second.
    """
    from scipy import special

    return bisect_left(range(trials + 1), 1 - BY_CHANCE, key=lambda count: special.bdtr(count, trials, share))


def _differences(run: Profile, calibration: Profile) -> tuple[Difference, ...]:
    """The features of the strokes whose distance is beyond chance: N. Smirnov, Ann. Math. Statist. 19 (1948)."""
    found = []
    for name in LOOKS:
        feature = FEATURES[name]
        ours, theirs = np.array(run.counts[name]), np.array(calibration.counts[name])
        sizes = ours.sum(), theirs.sum()
        distance = np.abs(np.cumsum(ours) / sizes[0] - np.cumsum(theirs) / sizes[1]).max()
        if distance > np.sqrt(-np.log(BY_CHANCE / 2) / 2 * (1 / sizes[0] + 1 / sizes[1])):
            found.append(Difference(name, feature.median(ours), feature.median(theirs), float(distance)))
    return tuple(sorted(found, key=lambda each: -each.distance))
