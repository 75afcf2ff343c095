"""Withhold the answers of a run that is unlike its calibration: none of them is accepted, and each is kept."""

import logging

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mnist_batch import failpoints
from mnist_batch.models import likeness
from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.runs import parts
from mnist_batch.runs.run import Run, digest, part_name
from mnist_batch.schemas.facts import Opened, Receipt
from mnist_batch.schemas.likeness_facts import Likeness, Profile
from mnist_batch.store import locations

log = logging.getLogger(__name__)


def likeness_of(run: Run, opened: Opened, profile: Profile) -> Likeness | None:
    """The likeness of a run to its calibration, None where there is nothing to compare.

    It is the one that was recorded where answers were withheld before, and the one of the retried run for a retry: a
    few scans of a run cannot be judged alone.
    """
    return run.withheld or opened.judged or likeness.nearest(profile, (opened.profiles or {}).values())


def due(opened: Opened, found: Likeness, gathered: Aggregates) -> bool:
    """Whether a run with this likeness has accepted answers that it may not have."""
    return found.unlike and not opened.trust_anyway and bool(gathered.counts.accepted.any())


def withhold(run: Run, opened: Opened, found: Likeness) -> None:
    """Make every accepted answer in the staged parts one for review; called again after a kill, it finishes.

    ``found`` is recorded first: from there on the run is unlike, whatever becomes of its parts.
    """
    if not run.withheld:
        run.withhold(found)
        log.warning("the scans are unlike those that the model was calibrated on; none of the answers is accepted")
    failpoints.reach("withholding")
    paths = parts.part_paths(run)
    for shard in range(len(opened.shard_sizes)):
        content = locations.read(run.filesystem, paths[part_name(shard)])
        written = parts.receipt(run, shard)
        if written and pc.any(pc.equal(_decisions(content), "accept")).as_py():
            rewrite(run, opened, content, *written)


def rewrite(run: Run, opened: Opened, content: bytes, receipt: Receipt, kept: pa.Table) -> tuple[Receipt, pa.Table]:
    """Write a part again, from its ``content``, with no answer accepted, and its receipt; returns what that holds.

    ``kept`` is what was gathered of its rows.
    """
    rows = pq.read_table(pa.BufferReader(content))
    decision = rows["decision"].cast(pa.string())
    withheld = pc.if_else(pc.equal(decision, "accept"), "review", decision)
    rows = rows.set_column(rows.schema.get_field_index("decision"), "decision", withheld)
    before, gathered = Aggregates.of_run(opened.threshold), Aggregates.of_run(opened.threshold)
    before.merge([kept])
    gathered.add(rows)
    gathered.profile = before.profile
    table = gathered.table()
    shard, unplaced = receipt.shard, receipt.unplaced_labels
    return parts.write_rows(run, shard, receipt.scans, rows, table, unplaced, scored=digest(content)), table


def _decisions(content: bytes) -> pa.ChunkedArray:
    return pq.read_table(pa.BufferReader(content), columns=["decision"])["decision"].cast(pa.string())
