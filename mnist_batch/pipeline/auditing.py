"""Read every part of a run once and compare it with its receipt."""

import logging

import pyarrow as pa
import pyarrow.parquet as pq

from mnist_batch.errors import BooksError
from mnist_batch.intake import scans
from mnist_batch.pipeline import withholding
from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.runs import parts
from mnist_batch.runs.run import Run, digest, part_name
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Opened, Receipt
from mnist_batch.store import locations
from mnist_batch.wording import counted

log = logging.getLogger(__name__)

AT_ONCE = 50  # receipts that are merged together: merging one costs as much as reading its part


def audit(run: Run, opened: Opened) -> tuple[list[Receipt], Aggregates]:
    """Return the receipts of all parts, in order, and what their writers gathered of their rows.

    Each part is read once and compared with its receipt. A file that is no part is deleted. A part that differs from
    its receipt is deleted, too: it has to be scored again, and the list is empty. Labels that found no page are counted
    in the log. Raises BooksError if the scans are not those listed.
    """
    paths, receipts, gathered = parts.part_paths(run), list[Receipt](), Aggregates.of_run(opened.threshold)
    kept: list[pa.Table] = []
    expected = [part_name(shard) for shard in range(len(opened.shard_sizes) or 1)]
    for name in parts.discard_foreign_files(run, expected):
        log.warning("%s: no part, removed", name)
    for shard, name in enumerate(expected):
        if (written := _compared(run, opened, shard, paths[name])) is None:
            parts.discard_part(run, paths[name])
            continue
        receipt, of_part, content = written
        receipts.append(receipt)
        kept.append(of_part)
        if receipt.labelled and opened.forms:
            fields = parts.beside_path(run, "fields", receipt)
            gathered.add_field_labels(locations.read_table(run.filesystem, fields))
        elif receipt.labelled:
            gathered.add_labels(pq.read_table(pa.BufferReader(content), columns=tables.LABELS.names))
        if len(kept) == AT_ONCE:
            gathered.merge(kept)
            kept.clear()
    gathered.merge(kept)
    if len(receipts) < len(expected):
        return [], gathered
    if (came := sum(receipt.scans for receipt in receipts)) != opened.scans:
        raise BooksError(f"run {run.run_id}: {counted(opened.scans, 'scan')} listed, {came:,} in the parts")
    if unplaced := sum(receipt.unplaced_labels for receipt in receipts):
        why = "that have no such field, or " if opened.forms else ""
        text = "--labels: %s not used, for pages %sthat their scans do not have; pages count from 0"
        log.warning(text, counted(unplaced, "label"), why)
    return receipts, gathered


def _compared(run: Run, opened: Opened, shard: int, path: str) -> tuple[Receipt, pa.Table, bytes] | None:
    """The receipt of the part at a path, what was gathered of it, and its bytes; None of a part that differs."""
    content = locations.read(run.filesystem, path)
    written = parts.receipt(run, path) or _adopted(run, opened, shard, path, content)
    if written and written[0].scored == digest(content) and (judgement := run.withheld):
        # Killed after the receipt was written and before the part with answers withheld.
        written = withholding.rewrite(run, opened, judgement, content, *written)
        content = locations.read(run.filesystem, path)
    if written is None or digest(content) != written[0].blake2b:
        log.warning("%s: not what was written; it is scored again", part_name(shard))
        return None
    if differing := parts.beside_differs(run, written[0]):
        log.warning("%s: not what was written; its shard is scored again", differing)
        return None
    return *written, content


def _adopted(run: Run, opened: Opened, shard: int, path: str, content: bytes) -> tuple[Receipt, pa.Table] | None:
    """Make a receipt for an already published part of a run whose run.json was deleted; None for any other part.

    The digest of the listing in its metadata was compared when the run was opened; its scans are compared here.
    """
    if run.at_store or path.startswith(run.staging):
        return None
    rows = parts.completed(pq.ParquetFile(pa.BufferReader(content)).read(columns=tables.SHOWN), tables.SHOWN)
    came = list(dict.fromkeys(scans.identities(rows)))
    if came != (scans.identities(run.shard(shard)) if opened.shard_sizes else []):
        return None
    gathered = Aggregates.of_run(opened.threshold)
    gathered.add(rows)
    kept = gathered.table()
    return parts.write_receipt(run, shard, len(came), rows, pa.py_buffer(content), kept), kept
