"""Every part of a run read once: held against what its writer says of it, and given to whoever counts."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mnist_batch.errors import BooksError
from mnist_batch.intake import scans
from mnist_batch.reports.examples import Examples
from mnist_batch.runs.run import Receipt, Run, digest, part_name
from mnist_batch.schemas import tables
from mnist_batch.store import locations
from mnist_batch.wording import counted

log = logging.getLogger(__name__)


def audit(run: Run, opened: Mapping[str, Any], add: Callable[[pa.Table, pa.Table], object]) -> list[Receipt]:
    """The receipts of all parts, in order; ``add`` is given each part's rows and their examples.

    A file that is no part is deleted. So is a part that is not what was written: it has to be scored again, and the
    list is empty. Raises BooksError where the scans are not those listed.
    """
    paths, receipts = run.part_paths(), []
    expected = [part_name(shard) for shard in range(len(opened["shards"]) or 1)]
    for name in run.discard_foreign_files(expected):
        log.warning("%s: no part, removed", name)
    for shard, name in enumerate(expected):
        content = locations.read(run.filesystem, paths[name])
        found = run.receipt(shard) or _adopted(run, opened, shard, paths[name], content)
        if found is None or digest(content) != found[0].blake2b:
            log.warning("%s: not what was written, it is scored again", name)
            locations.delete_file(run.filesystem, paths[name])
            continue
        receipts.append(found[0])
        add(pq.read_table(pa.BufferReader(content), columns=tables.COUNTED), found[1])
    if len(receipts) < len(expected):
        return []
    if (came := sum(receipt.scans for receipt in receipts)) != opened["scans"]:
        raise BooksError(f"run {run.run_id}: {counted(opened['scans'], 'scan')} listed, {came:,} in the parts")
    return receipts


def _adopted(
    run: Run, opened: Mapping[str, Any], shard: int, path: str, content: bytes
) -> tuple[Receipt, pa.Table] | None:
    """A receipt for a part that was published before, of a run whose run.json was deleted; None of any other part.

    The digest of the listing in its metadata was compared when the run was opened; its scans are compared here.
    """
    if path.startswith(run.staging):
        return None
    rows = pq.read_table(pa.BufferReader(content), columns=tables.SHOWN)
    came = list(dict.fromkeys(scans.identities(rows)))
    if came != (scans.identities(run.shard(shard)) if opened["shards"] else []):
        return None
    examples = Examples()
    examples.add(rows)
    kept = examples.table()
    return run.write_receipt(shard, len(came), rows["status"], pa.py_buffer(content), kept), kept
