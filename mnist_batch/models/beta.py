"""Beta calibration: from a model's probabilities to how often its answers are right, in the order that it gives them.

M. Kull, T. Silva Filho and P. Flach, Beta calibration, AISTATS (2017). The log odds that an answer of the probability p
is right are ``a * log(p) - b * log(1 - p) + c``. Since ``a`` and ``b`` are above 0, a surer answer stays surer: which
answers a share accepts does not depend on the labels that ``a``, ``b`` and ``c`` were fitted on.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.models import calibrating, certifying
from mnist_batch.models.calibrating import Sample
from mnist_batch.schemas.bundle_facts import Calibration, CalibrationSet
from mnist_batch.schemas.facts import Beta

SLOPES = (0.05, 20.0)  # the range of ``a`` and ``b``
PRIOR = 1.0  # how much a slope other than 1 costs, in squares, beside the log likelihood of all labels
SMALLEST = 1e-30  # of what is left beside an answer


def confidence(probabilities: NDArray[Any], beta: Beta | None) -> NDArray[np.float32]:
    """How sure answers are, float32 (N,), from the probabilities of the digits (N, 10); without a map the largest."""
    if beta is None or not len(probabilities):
        return np.asarray(probabilities.max(axis=1, initial=0), np.float32)
    certain, rest = _logs(probabilities)
    return np.asarray(1 / (1 + np.exp(-(beta.a * certain - beta.b * rest + beta.c))), np.float32)


def fit(probabilities: NDArray[Any], right: NDArray[np.bool_]) -> Beta:
    """The map of N > 0 answers, from the probabilities of the digits (N, 10) and which answers are right, bool (N,).

    The mean confidence of these answers is (right answers + 1) / (answers + 2), Laplace's rule of succession. Slopes
    are drawn towards 1, so that a few labels move the confidence and leave its shape as it was.
    """
    from scipy.optimize import minimize  # here: actors that only read a map need no scipy
    from scipy.special import expit

    certain, rest = _logs(probabilities)
    truth = (len(right) * right + 1) / (len(right) + 2)

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = at[0] * certain - at[1] * rest + at[2]
        over, slopes = expit(odds) - truth, at[:2] - 1
        value = np.sum(np.logaddexp(0, odds) - truth * odds) + PRIOR / 2 * slopes @ slopes
        return float(value), np.array([over @ certain + PRIOR * slopes[0], PRIOR * slopes[1] - over @ rest, over.sum()])

    found = minimize(loss, [1, 1, 0], jac=True, method="L-BFGS-B", bounds=[SLOPES, SLOPES, (None, None)])
    return Beta(*map(float, found.x))


def calibrate(name: str, sample: Sample, temperature: float, sources: NDArray[Any] | None = None) -> Calibration:
    """The calibration by N > 0 labelled answers; the outputs of ``sample`` are probabilities at this temperature.

    The thresholds are the ``risks`` of the clear answers. They certify these answers though the map is fitted on them,
    because the map keeps their order. The expected calibration error is of confidences that were fitted without the
    answer. ``sources``, (N,), asks for thresholds of each source, too.
    """
    right = sample.outputs.argmax(axis=1) == sample.labels
    beta = fit(sample.outputs, right)
    folds, without = calibrating.folds_of(len(right)), np.empty(len(right), np.float32)
    for fold in np.unique(folds):
        rest, own = folds != fold, folds == fold
        map = fit(sample.outputs[rest], right[rest]) if rest.any() else beta
        without[own] = confidence(sample.outputs[own], map)
    sure = confidence(sample.outputs, beta)

    def certified(name: str, those: NDArray[np.bool_]) -> CalibrationSet:
        clear = those & sample.clear
        return CalibrationSet(
            name, int(those.sum()), certifying.risks(sure[clear], right[clear]) if clear.any() else ()
        )

    each = [] if sources is None else [certified(source, sources == source) for source in np.unique(sources)]
    return Calibration(
        temperature=temperature,
        level=certifying.LEVEL,
        expected_calibration_error=calibrating.expected_calibration_error(without, right),
        sets=(certified(name, np.full(len(right), True)),),
        beta=beta,
        by_source=tuple(each),
    )


def _logs(probabilities: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """log(p) and log(1 - p) of the answers; p is divided by the sum, and 1 - p summed from the other digits."""
    others = np.sort(probabilities.astype(np.float64), axis=1)
    largest, rest = others[:, -1], others[:, :-1].sum(axis=1)
    return np.log(largest / (largest + rest)), np.log(np.maximum(rest / (largest + rest), SMALLEST))
