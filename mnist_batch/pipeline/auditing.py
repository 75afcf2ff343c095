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
    its receipt is deleted, too: it has to be scored again, and the list is empty. Raises BooksError if the scans are
    not those listed.
    """
    paths, receipts, gathered = parts.part_paths(run), list[Receipt](), Aggregates.of_run(opened.threshold)
    kept: list[pa.Table] = []
    expected = [part_name(shard) for shard in range(len(opened.shard_sizes) or 1)]
    for name in parts.discard_foreign_files(run, expected):
        log.warning("%s: no part, removed", name)
    for shard, name in enumerate(expected):
        content = locations.read(run.filesystem, paths[name])
        written = parts.receipt(run, paths[name]) or _adopted(run, opened, shard, paths[name], content)
        if written and written[0].scored == digest(content) and (judgement := run.withheld):
            # Killed after the receipt was written and before the part with answers withheld.
            written = withholding.rewrite(run, opened, judgement, content, *written)
            content = locations.read(run.filesystem, paths[name])
        if written is None or digest(content) != written[0].blake2b:
            log.warning("%s: not what was written; it is scored again", name)
            parts.discard_part(run, paths[name])
            continue
        if differing := parts.beside_differs(run, written[0]):
            log.warning("%s: not what was written; its shard is scored again", differing)
            parts.discard_part(run, paths[name])
            continue
        receipts.append(written[0])
        kept.append(written[1])
        if written[0].labelled and opened.forms:
            fields = parts.beside_path(run, "fields", written[0])
            gathered.add_field_labels(locations.read_table(run.filesystem, fields))
        elif written[0].labelled:
            gathered.add_labels(pq.read_table(pa.BufferReader(content), columns=tables.LABELS.names))
        if len(kept) == AT_ONCE:
            gathered.merge(kept)
            kept.clear()
    gathered.merge(kept)
    if len(receipts) < len(expected):
        return [], gathered
    if (came := sum(receipt.scans for receipt in receipts)) != opened.scans:
        raise BooksError(f"run {run.run_id}: {counted(opened.scans, 'scan')} listed, {came:,} in the parts")
    return receipts, gathered


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
