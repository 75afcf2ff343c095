"""The parts of a run and their receipts: written, found, read, deleted."""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mnist_batch import failpoints
from mnist_batch.errors import BooksError, StorageError
from mnist_batch.runs.run import PARQUET, Run, digest, parquet, part_name
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import PartFile, Receipt, as_json, from_json
from mnist_batch.statuses import PASSING, READ, SAME
from mnist_batch.store import changing, locations
from mnist_batch.wording import counted

LISTING = "mnist_batch.listing"  # in the metadata of a part's file: the digest of what its run listed
_CONTENT = re.compile(r"-[0-9a-f]{16}$")
RECEIPT = b"mnist_batch.receipt"  # in the metadata of a receipt's file, beside what was gathered of the part


def shard_name(file_name: str) -> str:
    """The name of a table's file without its ending, and without what tells its content: ``part-00000``, ``report``."""
    return _CONTENT.sub("", file_name.removesuffix(PARQUET))


def tells_content(file_name: str) -> bool:
    """Whether the name of a table's file tells its content, as those that are written at a store do."""
    return _CONTENT.search(file_name.removesuffix(PARQUET)) is not None


def table_paths(run: Run, table: str) -> dict[str, str]:
    """The path of each file of a table of a published run, by its ``shard_name``; at a store as run.json lists them."""
    folder = run.table_folder(table)
    if not run.at_store:
        names = locations.names(run.filesystem, folder)
        return {name.removesuffix(PARQUET): f"{folder}/{name}" for name in names if not name.startswith(".")}
    if (published := run.published) is None:
        return {}
    files = (*published.files, *(published.report_files or ()))
    paths = [f"{run.root}/{file.path}" for file in files if file.path.startswith(f"{table}/")]
    return {shard_name(posixpath.basename(path)): path for path in paths}


def part_paths(run: Run) -> dict[str, str]:
    """The path of every part by its ``shard_name``, published or not.

    On a disk an unpublished part is staged, or already moved while publishing goes on. At a store it is written where
    it stays, and counts if there is a receipt of its name.
    """
    published = table_paths(run, "predictions")
    if not run.at_store:
        return {**_staged(run), **published}
    return published or _with_receipt(run)


def _staged(run: Run) -> dict[str, str]:
    folder = f"{run.staging}/parts"
    names = locations.names(run.filesystem, folder)
    return {name.removesuffix(PARQUET): f"{folder}/{name}" for name in names if not name.startswith(".")}


def _with_receipt(run: Run) -> dict[str, str]:
    receipts = set(locations.names(run.filesystem, f"{run.staging}/receipts"))
    folder, found = run.table_folder("predictions"), dict[str, list[str]]()
    for name in locations.names(run.filesystem, folder):
        if name.removesuffix(PARQUET) in receipts:
            found.setdefault(shard_name(name), []).append(f"{folder}/{name}")

    def withheld(path: str) -> bool:  # it was written over another part, whose receipt is about to be deleted
        written = receipt(run, path)
        return written is not None and written[0].scored is not None

    return {name: paths[0] if len(paths) == 1 else max(paths, key=withheld) for name, paths in found.items()}


def beside_path(run: Run, table: str, receipt: Receipt) -> str:
    """The path of the file of another table, ``tables.BESIDE``, that was written with a part of this receipt."""
    written = run.part_path(table, receipt.shard, (receipt.beside or {})[table].blake2b)
    if run.at_store:
        return written
    # A process that was killed while it published may have left the staged file with its final ending.
    published = f"{run.table_folder(table)}/{part_name(receipt.shard)}{PARQUET}"
    staged = (written, written + PARQUET)
    return next((path for path in staged if locations.exists(run.filesystem, path)), published)


def beside_differs(run: Run, receipt: Receipt) -> str | None:
    """The path of the first file beside a part that is not what its writer wrote; None if all are."""
    for table, written in (receipt.beside or {}).items():
        path = beside_path(run, table, receipt)
        content = locations.read_if_there(run.filesystem, path)
        if content is None or digest(content) != written.blake2b:
            return path
    return None


def pending(run: Run, shards: int) -> list[int]:
    """The numbers of the shards that have no part yet."""
    there = part_paths(run)
    return [number for number in range(shards) if part_name(number) not in there]


def write_part(
    run: Run,
    rows: pa.Table,
    gathered: pa.Table,
    beside: Mapping[str, pa.Table] = MappingProxyType({}),
    unplaced_values: int = 0,
) -> Receipt:
    """Write the answers of one whole shard as its part, which appears whole or not at all.

    ``rows`` are those of Classify, ``gathered`` is what a report needs of them (``Aggregates.table``), and ``beside``
    are the rows of ``tables.BESIDE``; ``unplaced_values`` of its true numbers belong to no field. Raises
    BooksError unless the rows are the scans of exactly one shard of the frozen manifest, each once and in its order.
    """
    run.check_attempt()
    shards = pc.unique(rows["shard"]).to_pylist()
    if len(shards) != 1:
        raise BooksError(f"a block holds rows of the shards {shards}; it has to be one shard, whole")
    manifest = run.shard(shards[0])
    listed = manifest.select(["source", "scan"])
    rows, numbers = _naming(run, rows), rows["row"].to_numpy()
    first_pages = np.flatnonzero(np.diff(numbers, prepend=-1))
    came = rows.select(["source", "scan"]).take(first_pages).cast(listed.schema)
    if not np.array_equal(numbers[first_pages], np.arange(len(listed))) or not came.equals(listed):
        raise BooksError(f"shard {shards[0]}: {counted(len(came), 'scan')} came back for {len(listed):,} listed")
    unplaced = _unplaced(manifest["page_labels"], np.bincount(numbers), rows["status"].take(first_pages))
    unplaced += unplaced_values
    return write_rows(run, shards[0], len(listed), rows, gathered, unplaced, beside=beside)


def write_empty_part(run: Run, gathered: pa.Table, with_forms: bool = False) -> None:
    """Write the one part of a run that found no scan: no rows, and every column with its type."""
    if not part_paths(run):
        beside = {name: schema.empty_table() for name, schema in tables.BESIDE.items()} if with_forms else {}
        write_rows(run, 0, 0, tables.PREDICTIONS.empty_table(), gathered, beside=beside)


def write_rows(
    run: Run,
    shard: int,
    scans: int,
    rows: pa.Table,
    gathered: pa.Table,
    unplaced_labels: int = 0,
    scored: str | None = None,
    beside: Mapping[str, pa.Table] = MappingProxyType({}),
) -> Receipt:
    """Write the rows of a shard of so many ``scans`` as its part, and its receipt, unchecked.

    ``scored`` is the digest of the part that this one replaces, if its answers are withheld. ``beside`` are the rows of
    its other tables; their files are there before the part is.
    """
    typed = tables.table(tables.PREDICTIONS, {name: rows[name] for name in tables.PREDICTIONS.names})
    content = run.parquet(typed, {LISTING: run.listing})
    # The receipt comes first: a part without one, or one that differs, is scored again.
    others = {
        name: (
            each,
            run.parquet(
                tables.table(tables.BESIDE[name], {column: each[column] for column in tables.BESIDE[name].names})
            ),
        )
        for name, each in beside.items()
    }
    written = {name: PartFile(len(each), len(file), digest(file)) for name, (each, file) in others.items()} or None
    receipt = write_receipt(run, shard, scans, rows, content, gathered, unplaced_labels, scored, written)
    if scored:
        failpoints.reach("receipt of withheld")
    for name, (_, file) in others.items():
        path = run.part_path(name, shard, digest(file))
        changing.write_whole(run.filesystem, path, file, run.check_attempt)
    path = run.part_path("predictions", shard, receipt.blake2b)
    changing.write_whole(run.filesystem, path, content, run.check_attempt)
    if scored and run.at_store and scored != receipt.blake2b:
        changing.delete_file(run.filesystem, _receipt_path(run, run.part_path("predictions", shard, scored)))
    return receipt


def write_receipt(
    run: Run,
    shard: int,
    scans: int,
    rows: pa.Table,
    content: pa.Buffer,
    gathered: pa.Table,
    unplaced_labels: int = 0,
    scored: str | None = None,
    beside: dict[str, PartFile] | None = None,
) -> Receipt:
    """Write the receipt of a part: the digest of its file, ``content``, and what was ``gathered`` of its rows."""
    read = pc.sum(pc.is_in(rows["status"].cast(pa.string()), pa.array(READ))).as_py() or 0
    labelled = len(rows) - rows["label"].null_count
    receipt = Receipt(
        shard,
        scans,
        len(rows),
        len(rows) - read,
        labelled,
        unplaced_labels,
        len(content),
        digest(content),
        scored,
        beside,
    )
    gathered = gathered.replace_schema_metadata({**(gathered.schema.metadata or {}), RECEIPT: as_json(receipt)})
    path = _receipt_path(run, run.part_path("predictions", shard, receipt.blake2b))
    changing.write_whole(run.filesystem, path, parquet(gathered))
    return receipt


def _receipt_path(run: Run, part_path: str) -> str:
    return f"{run.staging}/receipts/{posixpath.basename(part_path).removesuffix(PARQUET)}"


def receipt(run: Run, part_path: str) -> tuple[Receipt, pa.Table] | None:
    """Read the receipt of the part at a path and what was gathered of its rows; None if it is missing or damaged."""
    content = locations.read_if_there(run.filesystem, _receipt_path(run, part_path))
    try:
        gathered = pq.read_table(pa.BufferReader(content or b""))
        return from_json(Receipt, gathered.schema.metadata[RECEIPT]), gathered
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        return None


def discard_part(run: Run, part_path: str) -> None:
    """Delete a part, so that its shard is scored again; at a store only its receipt, by which the part counts."""
    changing.delete_file(run.filesystem, _receipt_path(run, part_path) if run.at_store else part_path)


def discard_foreign_files(run: Run, parts: Sequence[str]) -> list[str]:
    """Delete the staged files that are none of ``parts``, and return their names.

    The temporary file of a write that was killed is deleted too, and not returned.
    """
    folder = f"{run.staging}/parts"
    foreign = [name for name in locations.names(run.filesystem, folder) if name.removesuffix(PARQUET) not in parts]
    for name in foreign:
        changing.delete_file(run.filesystem, f"{folder}/{name}")
    return [name.removesuffix(PARQUET) for name in foreign if name[0] != "."]


def discard_passing(run: Run) -> None:
    """Delete the staged parts with a row in ``PASSING``, and the notes on fatal scans: they are tried again."""
    for path in (_with_receipt(run) if run.at_store else _staged(run)).values():
        try:
            statuses = locations.read_table(run.filesystem, path, ["status"])["status"]
        except StorageError:
            raise
        except (pa.ArrowException, OSError):  # the audit will name it
            continue
        if pc.any(pc.is_in(statuses.cast(pa.string()), pa.array(PASSING))).as_py():
            discard_part(run, path)
    changing.delete_folder(run.filesystem, f"{run.staging}/fatal")


def read_parts(run: Run, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Read these columns of each part, in order; one that its version did not have is null."""
    for _, path in sorted(part_paths(run).items()):
        yield completed(locations.read_table(run.filesystem, path, columns), columns)


def completed(rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    """These columns of rows of predictions; those that the version which wrote them did not have are null."""
    for name in columns:
        if name not in rows.column_names:
            field = tables.PREDICTIONS.field(name)
            rows = rows.append_column(field, pa.nulls(len(rows), field.type))
    return rows.select(list(columns))


def _naming(run: Run, rows: pa.Table) -> pa.Table:
    """The rows with the id of this run where their answer is in another row of it: a listing does not know the id."""
    here = pc.and_(pc.is_valid(rows["same_as"]), pc.is_null(rows["same_as_run"]))
    return tables.with_column(rows, "same_as_run", pc.if_else(here, run.run_id, rows["same_as_run"]))


def _unplaced(page_labels: pa.ChunkedArray, pages: NDArray[np.int64], statuses: pa.ChunkedArray) -> int:
    """Count the labels of pages that their scan does not have; for a scan that could not be read this is unknown."""
    if page_labels.null_count == len(page_labels):
        return 0
    of_scans = zip(page_labels.to_pylist(), pages.tolist(), statuses.to_pylist(), strict=True)
    return sum(
        label is not None
        for labels, count, status in of_scans
        if labels and (count > 1 or (status in READ and status not in SAME))
        for label in labels[count:]
    )
