"""Whether a run differs from the nights before it, by each metric of each group of its rows: read ``compare``.

Nights differ by more than chance among their pages: other people write. So what a night of the baseline's kind would
show is predicted by a random-effects model, from the spread between the nights and the standard errors within them (R.
DerSimonian and N. Laird, Controlled Clinical Trials 7, 1986; J. P. T. Higgins et al., J. R. Stat. Soc. A 172, 2009, on
the prediction for a new one):

- The middle and the spread of the nights are the biweight location and midvariance, so that one odd night among them
  counts little (F. Mosteller and J. W. Tukey, Data Analysis and Regression, 1977; T. C. Beers et al., Astron. J. 100,
  1990). The sampling variance is taken from the spread.
- A few nights say little of their spread. It is moderated towards a prior one, of ``PRIOR`` degrees of freedom (G. K.
  Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004): that no night is worth more than ``Metric.most_pages`` pages.
- A mean is compared by Student's t with Satterthwaite's degrees of freedom, a share by the beta-binomial distribution,
  which stays true for a few rare rows. Rows of a page are not independent; a share counts as of so many rows as would
  have its standard error (J. N. K. Rao and A. J. Scott, Biometrics 48, 1992).
- There is an alert where a two-sided p-value is below ``FALSE_ALARMS`` divided by the number of metrics that are
  compared (Bonferroni). So this is the chance of any false alarm in a whole night, whatever depends on whatever.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist_batch.reports.drift_metrics import METRICS, WHOLE, Metric, Moment, Night
from mnist_batch.schemas import tables
from mnist_batch.schemas.drift_facts import Alert, Drift, Kind

FALSE_ALARMS = 0.005  # the chance of any in a night; under 1 in 100 is promised
FEWEST_PAGES = 30  # of a group and metric, tonight and in each night that it is compared with
PRIOR = 4.0  # degrees of freedom of what is presumed of the spread between nights
# The sets of a calibration are of other pens and scanners: they differ as the means of four digits do.
SET_PAGES, SET_PRIOR = 4.0, 60.0
EFFICIENCY = 0.8  # of the biweight midvariance: the degrees of freedom that it has of those of a variance
TUNING = 6.0, 9.0  # median absolute deviations, from where on a night counts for nothing: in the middle, in the spread
MOST_TRIALS = 2_000  # of the rows of a share; more make no difference beside the spread between nights
MOST_ALERTS = 20  # that run.json has

Numbers = NDArray[np.float64]
Key = tuple[str | None, str | None, str | None, str]  # a group and a metric


class Expected(NamedTuple):
    """What was expected of a metric tonight, and by how many standard errors of a normal distribution it is away."""

    value: float
    low: float
    high: float
    z: float


def compare(tonight: Night, nights: Sequence[Night], kind: Kind, runs: Sequence[str] = ()) -> tuple[Drift, pa.Table]:
    """Compare the metrics of a run with those of the nights of its baseline: the facts, and a ``tables.DRIFT``.

    ``nights`` are the newest first. A source that none of them has is compared with all sources together. What they
    have too few pages of is in the table all the same, without a comparison: it may be the baseline of other nights.
    """
    pairs = {key: history for key in tonight if (history := _history(key, tonight[key], nights))}
    alpha = FALSE_ALARMS / max(len(pairs), 1)
    found = {
        key: expected(METRICS[key[3]], tonight[key], history, alpha, Prior.of(METRICS[key[3]], kind))
        for key, history in pairs.items()
    }
    beyond = {key: each for key, each in found.items() if not each.low <= tonight[key].value <= each.high}
    alerts = [Alert(*key, tonight[key].value, each.low, each.high, each.z) for key, each in beyond.items()]
    alerts.sort(key=lambda alert: -abs(alert.z))
    facts = Drift(
        baseline=kind,
        runs=tuple(runs),
        compared=len(pairs),
        alerting=len(alerts),
        alerts=tuple(alerts[:MOST_ALERTS]),
    )
    return facts, _table(tonight, found, beyond)


def _history(key: Key, moment: Moment, nights: Sequence[Night]) -> list[Moment]:
    """The same metric of the same group in the nights of the baseline; none where it is not to be compared."""
    source, form, field, metric = key
    if source is None and key[:3] != WHOLE:  # the sources are compared one by one
        return []
    if (key[:3] == WHOLE and metric != "seconds") or moment.pages < FEWEST_PAGES:
        return []
    known = [night[key] for night in nights if key in night and night[key].pages >= FEWEST_PAGES]
    every = (None, form, field, metric)
    return known or [night[every] for night in nights if every in night and night[every].pages >= FEWEST_PAGES]


class Prior(NamedTuple):
    """What is presumed of the spread between nights: as if each were of so many ``pages``; its degrees of freedom."""

    pages: float
    freedom: float

    @classmethod
    def of(cls, metric: Metric, kind: Kind) -> "Prior":
        """The prior for a metric and a kind of baseline."""
        return cls(SET_PAGES, SET_PRIOR) if kind == "calibration" else cls(metric.most_pages, PRIOR)

    def moderated(self, of_page: float, spread: float, nights: int) -> tuple[float, float]:
        """The variance between nights, given that of a page and the spread found; and its degrees of freedom."""
        found = EFFICIENCY * (nights - 1)
        return (self.freedom * of_page / self.pages + found * spread) / (self.freedom + found), self.freedom + found


def expected(metric: Metric, tonight: Moment, history: Sequence[Moment], alpha: float, prior: Prior) -> Expected:
    """What the ``history`` of a metric, of at least one night, lets expect tonight but for a share ``alpha``."""
    if metric.share:
        return _share(tonight, history, alpha, prior)
    return _mean(tonight, history, alpha, prior, metric.matters)


def _mean(tonight: Moment, history: Sequence[Moment], alpha: float, prior: Prior, matters: float) -> Expected:
    from scipy import special

    pages, values = (np.array([getattr(each, name) for each in history]) for name in ("pages", "value"))
    # As if tonight were one of these nights: the variance of a page is that of all of them.
    of_page = float(np.median([each.pages * each.error**2 for each in (tonight, *history)]))
    sampling = of_page / pages
    middle, spread = _robust(values, sampling)
    between, freedom = prior.moderated(of_page, spread, len(history))
    between *= 1 + 1 / len(history)
    within = of_page / tonight.pages + float(np.median(sampling)) / len(history) + matters**2
    error = max(float(np.sqrt(between + within)), 1e-9)
    freedom = min(freedom * ((between + within) / max(between, 1e-12)) ** 2, 1e6)  # Satterthwaite
    away = -float(special.stdtrit(freedom, alpha / 2))
    t = (tonight.value - middle) / error
    z = _normal(float(special.stdtr(freedom, -abs(t))))
    return Expected(middle, middle - away * error, middle + away * error, z if t >= 0 else -z)


def _share(tonight: Moment, history: Sequence[Moment], alpha: float, prior: Prior) -> Expected:
    every = (tonight, *history)
    effect = float(np.median([_design_effect(each) for each in every]))
    rows, values = (np.array([getattr(each, name) for each in history]) for name in ("rows", "value"))
    rows = np.maximum(rows / effect, 1)
    overall = (float(rows @ values) + 0.5) / (float(rows.sum()) + 1)
    _, spread = _robust(values, overall * (1 - overall) / rows)
    weights = rows * _inner(values, overall * (1 - overall) / rows, TUNING[0]) ** 2
    middle = (float(weights @ values) + 0.5) / (float(weights.sum()) + 1)
    of_row = middle * (1 - middle)
    between, freedom = prior.moderated(of_row, spread, len(history))
    between = between * (1 + 1 / len(history)) + of_row / (float(weights.sum()) + 1)
    between *= freedom / (freedom - 2)  # the variance of Student's t: the spread is not known exactly
    concentration = max(of_row / between - 1, 1e-3)
    trials = max(round(min(tonight.rows / effect, MOST_TRIALS)), 1)
    counted = round(tonight.value * trials)
    chances = _beta_binomial(trials, middle * concentration, (1 - middle) * concentration)
    below, above = np.cumsum(chances), np.cumsum(chances[::-1])[::-1]  # at most, and at least, so many
    p = min(float(below[counted]), float(above[counted]))
    z = _normal(min(p, 0.5))
    # The fewest and the most rows that are no alert.
    low, high = int(np.argmax(below > alpha / 2)), trials - int(np.argmax(above[::-1] > alpha / 2))
    room = 0.5 / trials  # tonight's share is compared as it is, and not as it was rounded
    lowest, highest = max(low / trials - room, 0.0), min(high / trials + room, 1.0)
    # What is expected is a mean, which may lie beyond nearly all that happens.
    return Expected(middle, min(lowest, middle), max(highest, middle), z if tonight.value >= middle else -z)


def _beta_binomial(trials: int, a: float, b: float) -> Numbers:
    """The chance of each count from 0 to ``trials``, float64 (trials + 1,)."""
    from scipy import special

    count = np.arange(trials + 1)
    ways = special.gammaln(trials + 1) - special.gammaln(count + 1) - special.gammaln(trials - count + 1)
    return np.asarray(np.exp(ways + special.betaln(count + a, trials - count + b) - special.betaln(a, b)), np.float64)


def _normal(p: float) -> float:
    """How many standard errors of a normal distribution have this one-sided p-value."""
    from scipy import special

    return -float(special.ndtri(max(p, 1e-300)))


def _design_effect(moment: Moment) -> float:
    """How many times as large the variance of a share is as if its rows were independent; at least 1."""
    independent = moment.value * (1 - moment.value) / moment.rows
    return max(moment.error**2 / independent, 1.0) if independent > 0 else 1.0


def _robust(values: Numbers, sampling: Numbers) -> tuple[float, float]:
    """The biweight location of values, and their biweight midvariance beyond the variance of their ``sampling``."""
    inner = _inner(values, sampling, TUNING[0]) ** 2
    middle = float(inner @ values / inner.sum())
    if len(values) < 2:
        return middle, 0.0
    inner = _inner(values, sampling, TUNING[1])
    below = float((inner * (5 * inner - 4))[inner > 0].sum())
    spread = len(values) * float(((values - middle) ** 2 * inner**4).sum()) / max(below**2, 1.0)
    return middle, max(spread - float(np.median(sampling)), 0.0)


def _inner(values: Numbers, sampling: Numbers, tuning: float) -> Numbers:
    """Of each value 1 - u^2, u in ``tuning`` deviations from the median, or 0; its square is Tukey's weight."""
    away = values - np.median(values)
    deviation = max(float(np.median(np.abs(away))), 0.6745 * float(np.sqrt(np.median(sampling))), 1e-12)
    return np.maximum(1 - (away / (tuning * deviation)) ** 2, 0.0)


def _table(tonight: Night, found: Mapping[Key, Expected], beyond: Mapping[Key, Expected]) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in tables.DRIFT.names}
    for key, moment in tonight.items():
        each, compared = found.get(key), key in found
        row = {**dict(zip(("source", "form", "field", "metric"), key, strict=True)), **moment._asdict()}
        row |= (
            each._asdict() | {"value": moment.value, "expected": each.value}
            if each
            else dict.fromkeys(("expected", "low", "high", "z"))
        )
        row["alert"] = key in beyond if compared else None
        for name, values in columns.items():
            values.append(row[name])
    return tables.table(tables.DRIFT, columns)


def night_of(rows: pa.Table) -> dict[Key, Moment]:
    """The moments of a night from its published ``tables.DRIFT``."""
    keys = zip(
        *(rows[name].cast(pa.string()).to_pylist() for name in ("source", "form", "field", "metric")), strict=True
    )
    moments = zip(*(rows[name].to_pylist() for name in Moment._fields), strict=True)
    known = {key: Moment(*moment) for key, moment in zip(keys, moments, strict=True)}
    return {key: moment for key, moment in known.items() if key[3] in METRICS}
