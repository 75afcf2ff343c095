"""Withhold accepted answers for what only the whole run says: it is unlike its calibration, or their ink is pale.

The answers are kept, and left for review.
"""

import logging

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mnist_batch import failpoints
from mnist_batch.models import answers, likeness
from mnist_batch.pipeline import form_tables
from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.runs import parts
from mnist_batch.runs.run import Run, digest, part_name
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Opened, Receipt
from mnist_batch.schemas.likeness_facts import Judgement
from mnist_batch.store import locations

log = logging.getLogger(__name__)


def judge(run: Run, opened: Opened, gathered: Aggregates) -> Judgement:
    """What the run as a whole says of its answers.

    It is what was recorded where answers were withheld before, and the judgement of the retried run for a retry: a few
    scans of a run cannot be judged alone.
    """
    if judged := run.withheld or opened.judged:
        return judged
    alike = likeness.nearest(gathered.profile, (opened.profiles or {}).values())
    return Judgement(alike, gathered.contrasts.paler_than())


def due(opened: Opened, judgement: Judgement, gathered: Aggregates) -> bool:
    """Whether the run has decisions that by this judgement it may not have."""
    if opened.threshold is None:
        return False
    # A field may be accepted as empty, without an answer in any of its cells.
    accepted = gathered.counts.accepted.any() or gathered.fields.totals().accepted
    return bool(
        (accepted and _all_withheld(opened, judgement))
        or gathered.contrasts.clear_by_contrast[: judgement.paler_than or 0].any()
    )


def _all_withheld(opened: Opened, judgement: Judgement) -> bool:
    return judgement.likeness is not None and judgement.likeness.unlike and not opened.trust_anyway


def withhold(run: Run, opened: Opened, judgement: Judgement) -> None:
    """Leave the answers in the staged parts that are to be withheld for review.

    The judgement is recorded first: from there on it stands, whatever becomes of the parts. Called again after a kill,
    it finishes.
    """
    if not run.withheld:
        run.withhold(judgement)
        if _all_withheld(opened, judgement):
            log.warning("the scans are unlike those that the model was calibrated on; none of the answers is accepted")
    failpoints.reach("withholding")
    paths = parts.part_paths(run)
    for shard in range(len(opened.shard_sizes)):
        content = locations.read(run.filesystem, paths[part_name(shard)])
        written = parts.receipt(run, paths[part_name(shard)])
        rows = pq.read_table(pa.BufferReader(content), columns=["digit", "decision", "reason", "normalisation"])
        pale, others = _withheld(rows, opened, judgement)
        with_fields = written is not None and written[0].beside and _all_withheld(opened, judgement)
        if written and (with_fields or pc.any(pc.or_(pale, others)).as_py()):
            rewrite(run, opened, judgement, content, *written)


def rewrite(
    run: Run, opened: Opened, judgement: Judgement, content: bytes, receipt: Receipt, kept: pa.Table
) -> tuple[Receipt, pa.Table]:
    """Write a part again, from its ``content``, with answers withheld, and its receipt; returns what that holds.

    ``kept`` is what was gathered of its rows.
    """
    rows = pq.read_table(pa.BufferReader(content))
    pale, others = _withheld(rows, opened, judgement)
    for name, which, said in (("decision", pc.or_(pale, others), "review"), ("reason", pale, answers.PALE)):
        rows = tables.with_column(rows, name, pc.if_else(which, said, rows[name].cast(pa.string())))
    beside = {
        table: locations.read_table(run.filesystem, parts.beside_path(run, table, receipt))
        for table in receipt.beside or ()
    }
    if beside:
        every = _all_withheld(opened, judgement)
        rows, beside = form_tables.withheld(rows, beside, pale.to_pylist(), every, answers.PALE)
    before, gathered = Aggregates.of_run(opened.threshold), Aggregates.of_run(opened.threshold)
    before.merge([kept])
    gathered.add(rows)
    gathered.add_beside(beside, rows)
    gathered.profile, gathered.seen = before.profile, before.seen
    gathered.seen.recount(rows)
    kept_now = gathered.table()
    shard, unplaced = receipt.shard, receipt.unplaced_labels
    written = parts.write_rows(run, shard, receipt.scans, rows, kept_now, unplaced, digest(content), beside)
    return written, kept_now


def _withheld(rows: pa.Table, opened: Opened, judgement: Judgement) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Which answers are to be withheld since their ink is pale, and which accepted ones since all are; both bool."""
    clear = pc.and_(pc.is_valid(rows["digit"]), pc.is_null(rows["reason"]))
    contrast = pc.struct_field(rows["normalisation"], "threshold")
    pale = pc.and_(clear, pc.less(contrast, judgement.paler_than or 0).fill_null(False))
    accepted = pc.equal(rows["decision"].cast(pa.string()), "accept").fill_null(False)
    return pale, pc.and_(accepted, _all_withheld(opened, judgement))
