"""What a run records of how it differs from the nights before it, as dataclasses."""

from dataclasses import dataclass
from typing import Literal

# What a run is compared with: published runs; where there are too few of them, the sets of digits that its model was
# calibrated on; or nothing.
Kind = Literal["runs", "calibration", "none"]


@dataclass(frozen=True)
class Alert:
    """A metric of a group of rows that is beyond what the nights of the baseline let expect.

    The group is what came from ``source``, or of it a ``field`` of a ``form``; what is None is not told apart.
    ``metric`` is one of ``drift_metrics.METRICS``. ``low`` and ``high`` are the range in which ``value`` was expected,
    and ``z`` is by how many standard errors it is away from the middle of what was expected.
    """

    source: str | None
    form: str | None
    field: str | None
    metric: str
    value: float
    low: float
    high: float
    z: float


@dataclass(frozen=True)
class Drift:
    """How a run differs from its baseline: ``compared`` metrics of all groups, of which ``alerting`` are beyond it.

    ``runs`` are the ids of the runs that it was compared with, the newest first. ``alerts`` are the alerting metrics,
    the furthest first, and only the first ``drift.MOST_ALERTS`` of them; the table ``drift`` has all.
    """

    baseline: Kind
    runs: tuple[str, ...] = ()
    compared: int = 0
    alerting: int = 0
    alerts: tuple[Alert, ...] = ()
