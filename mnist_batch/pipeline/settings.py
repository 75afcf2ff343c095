"""How a run is scored where that decides no answer: how many actors, how long, what is published. No Ray in here."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mnist_batch.described import described
from mnist_batch.errors import InputError
from mnist_batch.pipeline.pools import Pools
from mnist_batch.reading import isolated, preprocessing

MOST_NIGHTS = 366  # of a baseline


@dataclass(frozen=True)
class Settings:
    """How a run is scored, which decides no answer: another attempt at the run may have other settings.

    With ``here`` a single shard is scored by the process that asks for it, which then needs no Ray. A run with a larger
    share of unreadable rows than ``max_unreadable`` is not published. A scan of which a page is not read in
    ``scan_timeout_seconds`` is a row that says so. A run that makes no progress for ``no_progress_timeout_seconds``
    ends. The run is compared with the runs of ``baseline``, or with the last ``baseline_nights``. Raises InputError
    where a value breaks a rule.
    """

    pools: Pools = field(default_factory=Pools)
    here: bool = False
    max_unreadable: float = described(
        0.05, "publish nothing if more than this share of the rows could not be read", metavar="SHARE"
    )
    scan_timeout_seconds: float = described(
        preprocessing.Limits.scan_timeout_seconds,
        f"seconds to read it and decode a page of it, which is tried {isolated.TRIES} times",
        metavar="SECONDS",
    )
    no_progress_timeout_seconds: float = described(
        300, "end with exit code 5 if for so many seconds no shard is finished and no scan is read", metavar="SECONDS"
    )
    wait_for_cpus_seconds: float = described(
        0,
        "ask the autoscaler of the cluster for a CPU for each actor of --preprocessors and --classifiers, and wait so "
        "long for them",
        metavar="SECONDS",
    )
    baseline: Sequence[str] = described(
        (),
        "compare with this published run, not with the last ones; may be given again",
        metavar="RUN_ID",
        left_out="the last runs that were scored alike",
    )
    baseline_nights: int = described(14, "compare with so many of the last runs that were scored alike", metavar="N")

    def __post_init__(self) -> None:
        if not 0 <= self.max_unreadable <= 1:
            raise InputError(f"--max-unreadable is {self.max_unreadable}; it has to be a share, from 0 to 1")
        if not 1 <= self.baseline_nights <= MOST_NIGHTS:
            raise InputError(f"--baseline-nights is {self.baseline_nights}; it has to be from 1 to {MOST_NIGHTS}")
        if not 0 <= self.wait_for_cpus_seconds < 2**31:
            raise InputError(
                f"--wait-for-cpus is {self.wait_for_cpus_seconds:g}; it has to be at least 0, and below {2**31:,}"
            )
        preprocessing.Limits(scan_timeout_seconds=self.scan_timeout_seconds)
        needed = isolated.TRIES * self.scan_timeout_seconds
        if not needed < self.no_progress_timeout_seconds < 2**31:
            raise InputError(
                f"--no-progress-timeout is {self.no_progress_timeout_seconds:g}; it has to be above {needed:g}, which "
                f"is {isolated.TRIES} times --scan-timeout, the longest time for one page, and below {2**31:,}"
            )

    def scored_here(self, pending: Sequence[int]) -> bool:
        """Whether these shards are scored by the process that asks for them: a cluster could not share out one."""
        return self.here and len(pending) == 1 and not self.pools.gpus_per_classifier
