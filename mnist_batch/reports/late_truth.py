"""Labels that come after their scans were published: the reports of their runs are made anew."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist_batch.intake import scans, user_tables
from mnist_batch.intake.labels import LabelFile
from mnist_batch.reports import report
from mnist_batch.runs import series
from mnist_batch.runs.ledger import Ledger


@dataclass(frozen=True)
class Late:
    """A run whose report has other labels than before: how many, and its accuracy, before and after."""

    run_id: str
    labelled_before: int
    accuracy_before: float | None
    labelled: int
    accuracy: float | None


def applied(known: Ledger, labels: LabelFile, roots: Sequence[str]) -> Iterator[Late]:
    """Add the labels of a file to the reports of the published runs that have its scans; yield those that changed.

    A scan is named by its path below one of the ``roots`` or below the ``source`` in its row, or by its full path.
    Names of other scans are left out. A label is that of the bytes which lay at its path last: a run that had others
    there keeps the label that it has. Raises InputError for labels that contradict each other.
    """
    for run, changed in known.runs_with(_paths(labels, roots)):
        was = series.published_run(run.out, run.run_id)[1]
        _, now = report.rebuild(run.out, run.run_id, labels.location, ignore_unlisted_labels=True, add=changed)
        if now != was:
            yield Late(run.run_id, was.totals.labelled, was.totals.accuracy, now.totals.labelled, now.totals.accuracy)


def _paths(labels: LabelFile, roots: Sequence[str]) -> NDArray[np.uint64]:
    """The locations that the rows of a label file may mean, as ``scans.paths_of``."""
    found = [np.empty(0, np.uint64)]
    for rows in user_tables.read("--labels", labels.location, ["scan"], ["source"]):
        names = [user_tables.as_meant(name).removeprefix("./") for name in rows.texts("scan")]
        given = rows.columns.get("source", [None] * len(names))
        named = zip(names, given, strict=True)
        places = [place for name, source in named for place in _places(name, source, roots)]
        sources, below = zip(*places, strict=True)
        found.append(scans.paths_of(pa.table({"source": [*sources], "scan": [*below]})))
    return np.unique(np.concatenate(found))


def _places(name: str, source: str | None, roots: Sequence[str]) -> list[tuple[str, str]]:
    if source and scans.rooted(source):  # to users a source may be something else
        return [(source, name)]
    if scans.rooted(name):
        above, _, below = name.rpartition("/")
        return [(above, below)]
    return [(root, name) for root in roots]
