"""A run's life on disk: opened, resumed, its parts and receipts, published."""

import hashlib
import json
import secrets
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mnist_batch import failpoints
from mnist_batch.errors import BooksError, Locked, StorageError
from mnist_batch.runs import records
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import File, Opened, Published, Receipt, Totals, as_json, from_json
from mnist_batch.statuses import PASSING, READ, Status
from mnist_batch.store import locations
from mnist_batch.wording import counted

LISTING = "mnist_batch.listing"  # in the metadata of a part's file: the digest of what its run listed
RECEIPT = b"mnist_batch.receipt"  # in the metadata of a receipt's file, beside what was gathered of the part

PARQUET = ".parquet"  # ends the names of published files only: who reads OUT/**/*.parquet meets nothing that is staged


@dataclass(frozen=True)
class Run:
    """One run of scoring below ``out``: where its files are before and after it is published.

    ``attempt`` names the process that scores it; a part is only taken from the attempt that began last.
    """

    out: str
    run_id: str
    run_date: str
    attempt: str = field(default="", compare=False)

    @cached_property
    def filesystem(self) -> Any:
        return locations.resolve(self.out)[0]

    def __getstate__(self) -> dict[str, str]:  # a file system does not travel to another process
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__dict__.update(state)

    @cached_property
    def root(self) -> str:
        return locations.resolve(self.out)[1]

    @property
    def staging(self) -> str:
        return f"{self.root}/_staging/{self.run_id}"

    @property
    def folder(self) -> str:
        """Where run.json and what people open are."""
        return f"{self.root}/runs/{self.run_id}"

    def location(self, path: str) -> str:
        """A path of this run's as anyone may name it, with the scheme of a store."""
        return locations.named(self.out, path)

    def table_folder(self, table: str) -> str:
        """The folder of this run in ``predictions`` or a table of its report."""
        return f"{self.root}/{table}/run_date={self.run_date}/run_id={self.run_id}"

    # ---------------------------------------------------------------- open, resume

    @property
    def published(self) -> Published | None:
        """What run.json says; None while the run is not published. Raises DamagedRun where it cannot be read."""
        remedy = f"restore it from a backup, or withdraw the run: {self.discarding}"
        return records.read(self.filesystem, f"{self.folder}/run.json", Published, remedy)

    @property
    def opened(self) -> Opened | None:
        """What was frozen when the run was opened; None before that and after it is published.

        Raises DamagedRun where it cannot be read, and InputError where another version wrote it.
        """
        remedy = f"throw the unfinished run away: {self.discarding}"
        return records.read(self.filesystem, f"{self.staging}/opened.json", Opened, remedy)

    @property
    def refused(self) -> Totals | None:
        """What ``refuse`` was told, of a run that was not published since too many scans could not be read."""
        remedy = f"throw the unfinished run away: {self.discarding}"
        return records.read(self.filesystem, f"{self.staging}/refused.json", Totals, remedy)

    @property
    def discarding(self) -> str:
        """The command that discards this run."""
        return f"python -m mnist_batch discard --out {shlex.quote(self.out)} --run {self.run_id}"

    def freeze(self, shards: Sequence[pa.Table], opened: Opened) -> None:
        """Write the manifest, one file per shard, and then ``opened.json``: from here on the run resumes."""
        self.clear_staging()
        for number, shard in enumerate(shards):
            path = f"{self.staging}/manifest/{part_name(number)}"
            locations.write_whole(self.filesystem, path, parquet(shard))
        locations.write_whole(self.filesystem, f"{self.staging}/opened.json", as_json(opened))

    def shard(self, number: int) -> pa.Table:
        """One shard of the frozen manifest."""
        return locations.read_table(self.filesystem, f"{self.staging}/manifest/{part_name(number)}")

    def begin_attempt(self) -> "Run":
        """This run as the one attempt that may write parts from now on; what a killed one still writes is refused."""
        locations.delete_folder(self.filesystem, f"{self.staging}/beats")
        attempt = secrets.token_hex(8)
        locations.write_whole(self.filesystem, f"{self.staging}/attempt", attempt.encode())
        return replace(self, attempt=attempt)

    def check_attempt(self) -> None:
        """Raise Locked where another process has begun to score this run since this attempt began."""
        path = f"{self.staging}/attempt"
        if self.attempt and locations.read_if_there(self.filesystem, path) != self.attempt.encode():
            raise Locked(f"run {self.run_id}: another process has taken this run over; wait for it to end")

    @cached_property
    def _listing(self) -> str:
        return opened.listing if (opened := self.opened) else ""

    def refuse(self, totals: Totals) -> None:
        """Write down that too many scans could not be read for this run to be published."""
        locations.write_whole(self.filesystem, f"{self.staging}/refused.json", as_json(totals))

    # ---------------------------------------------------------------- parts

    def note_fatal(self, shard: int, row: int, status: Status, reason: str) -> None:
        """Write down that a scan of a shard kills whoever reads it, so that it is not read again."""
        note = json.dumps({"status": status, "reason": reason}).encode()
        locations.write_whole(self.filesystem, f"{self.staging}/fatal/{shard}-{row}.json", note)

    def beat(self, shard: int, row: int) -> None:
        """Leave a sign that a shard which takes long is being read, and how far."""
        locations.write_whole(self.filesystem, f"{self.staging}/beats/{shard}-{row}", b"")

    def fatal(self, shard: int) -> dict[int, tuple[Status, str]]:
        """The status and reason of the rows of a shard that ``note_fatal`` wrote down."""
        known = {}
        for name in self.fatal_names():
            number, row = name.removesuffix(".json").split("-")
            if int(number) == shard:
                note = json.loads(locations.read(self.filesystem, f"{self.staging}/fatal/{name}"))
                known[int(row)] = Status(note["status"]), note["reason"]
        return known

    def fatal_names(self) -> list[str]:
        """The names of the notes on fatal scans, of all shards."""
        return [name for name in locations.names(self.filesystem, f"{self.staging}/fatal") if name[0] != "."]

    def part_paths(self) -> dict[str, str]:
        """Name -> path of every part that is there, staged or, while publishing goes on, already moved."""
        return {
            name.removesuffix(PARQUET): f"{folder}/{name}"
            for folder in (f"{self.staging}/parts", self.table_folder("predictions"))
            for name in locations.names(self.filesystem, folder)
            if not name.startswith(".")
        }

    def signs_of_life(self) -> int:
        """A number that grows with every fatal scan found, and with every beat of a shard that takes long."""
        return len(self.fatal_names()) + len(locations.names(self.filesystem, f"{self.staging}/beats"))

    def pending(self, shards: int) -> list[int]:
        """The numbers of the shards whose part is not there yet."""
        there = self.part_paths()
        return [number for number in range(shards) if part_name(number) not in there]

    def write_part(self, rows: pa.Table, gathered: pa.Table) -> Receipt:
        """Write the answers of one whole shard as its part: renamed into place, so whole or not there.

        ``rows`` are those of Classify, ``gathered`` what a report needs of them (``Aggregates.table``). Raises
        BooksError unless the rows are the scans of exactly one shard of the frozen manifest, each once and in its
        order.
        """
        self.check_attempt()
        shards = pc.unique(rows["shard"]).to_pylist()
        if len(shards) != 1:
            raise BooksError(f"a block holds rows of the shards {shards}; it has to be one shard, whole")
        manifest = self.shard(shards[0])
        listed = manifest.select(["source", "scan"])
        numbers = rows["row"].to_numpy()
        first_pages = np.flatnonzero(np.diff(numbers, prepend=-1))
        came = rows.select(["source", "scan"]).take(first_pages).cast(listed.schema)
        if not np.array_equal(numbers[first_pages], np.arange(len(listed))) or not came.equals(listed):
            raise BooksError(f"shard {shards[0]}: {counted(len(came), 'scan')} came back for {len(listed):,} listed")
        unplaced = _unplaced(manifest["page_labels"], np.bincount(numbers), rows["status"].take(first_pages))
        return self._write_part(shards[0], len(listed), rows, gathered, unplaced)

    def write_empty_part(self, gathered: pa.Table) -> None:
        """The one part of a run that found no scan: no rows, and every column of its type."""
        if not self.part_paths():
            self._write_part(0, 0, tables.PREDICTIONS.empty_table(), gathered)

    def _write_part(
        self, shard: int, scans: int, rows: pa.Table, gathered: pa.Table, unplaced_labels: int = 0
    ) -> Receipt:
        typed = tables.table(tables.PREDICTIONS, {name: rows[name] for name in tables.PREDICTIONS.names})
        content = self._parquet(typed, {LISTING: self._listing})
        # Before its part: one without a receipt, or not like it, is written again.
        receipt = self.write_receipt(shard, scans, rows, content, gathered, unplaced_labels)
        path = f"{self.staging}/parts/{part_name(shard)}"
        locations.write_whole(self.filesystem, path, content, self.check_attempt)
        return receipt

    def write_receipt(
        self,
        shard: int,
        scans: int,
        rows: pa.Table,
        content: pa.Buffer,
        gathered: pa.Table,
        unplaced_labels: int = 0,
    ) -> Receipt:
        """Write down what a part is: the bytes of its file, and what was ``gathered`` of its rows."""
        read = pc.sum(pc.is_in(rows["status"].cast(pa.string()), pa.array(READ))).as_py() or 0
        labelled = len(rows) - rows["label"].null_count
        receipt = Receipt(
            shard, scans, len(rows), len(rows) - read, labelled, unplaced_labels, len(content), digest(content)
        )
        gathered = gathered.replace_schema_metadata({**(gathered.schema.metadata or {}), RECEIPT: as_json(receipt)})
        locations.write_whole(self.filesystem, f"{self.staging}/receipts/{part_name(shard)}", parquet(gathered))
        return receipt

    def _parquet(self, rows: pa.Table, metadata: Mapping[str, str] = MappingProxyType({})) -> pa.Buffer:
        published = tables.of_run(rows, self.run_date, self.run_id)
        return parquet(published.replace_schema_metadata(published.schema.metadata | metadata))

    def receipt(self, shard: int) -> tuple[Receipt, pa.Table] | None:
        """The receipt of a part and what was gathered of its rows; None where there is none that is whole."""
        content = locations.read_if_there(self.filesystem, f"{self.staging}/receipts/{part_name(shard)}")
        try:
            gathered = pq.read_table(pa.BufferReader(content or b""))
            return from_json(Receipt, gathered.schema.metadata[RECEIPT]), gathered
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
            return None

    def discard_foreign_files(self, parts: Sequence[str]) -> list[str]:
        """Delete the staged files that are none of these parts, and return the names of those that look like one."""
        folder = f"{self.staging}/parts"
        strange = [name for name in locations.names(self.filesystem, folder) if name.removesuffix(PARQUET) not in parts]
        for name in strange:
            locations.delete_file(self.filesystem, f"{folder}/{name}")
        return [
            name.removesuffix(PARQUET) for name in strange if name[0] != "."
        ]  # a temporary file of a write that was killed is no part

    def discard_passing(self) -> None:
        """Delete the staged parts that have rows of a status that may pass, and the notes on scans that kill."""
        for name in locations.names(self.filesystem, f"{self.staging}/parts"):
            path = f"{self.staging}/parts/{name}"
            try:
                statuses = locations.read_table(self.filesystem, path, ["status"])["status"]
            except StorageError:
                raise
            except (pa.ArrowException, OSError):  # discard_damaged_parts says so
                continue
            if pc.any(pc.is_in(statuses.cast(pa.string()), pa.array(PASSING))).as_py():
                locations.delete_file(self.filesystem, path)
        locations.delete_folder(self.filesystem, f"{self.staging}/fatal")

    def parts(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """These columns of the parts that are there, in order, one table each."""
        return (part for _, part in self.named_parts(sorted(self.part_paths()), columns))

    def named_parts(self, names: Sequence[str], columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """These columns of the parts of these names."""
        paths = self.part_paths()
        for name in names:
            yield name, locations.read_table(self.filesystem, paths[name], columns)

    # ---------------------------------------------------------------- publish

    def stage_report(self, tables_of_report: Mapping[str, pa.Table], pages: Mapping[str, bytes]) -> tuple[File, ...]:
        """Write the report tables and the files that people open, where nobody reads them yet.

        Returns what run.json says of these files where they will be published.
        """
        files = []
        for table, rows in tables_of_report.items():
            content = self._parquet(rows)
            locations.write_whole(self.filesystem, f"{self.staging}/{table}/report", content)
            files.append(self._file(f"{self.table_folder(table)}/report{PARQUET}", content, len(rows)))
        for name, page in sorted(pages.items()):
            locations.write_whole(self.filesystem, f"{self.staging}/pages/{name}", page)
            files.append(self._file(f"{self.folder}/{name}", page))
        return tuple(files)

    def files(self, receipts: Iterable[Receipt]) -> tuple[File, ...]:
        """What run.json says of the published parts: what their writers say of them."""
        folder = self.table_folder("predictions").removeprefix(f"{self.root}/")
        return tuple(
            File(f"{folder}/{part_name(receipt.shard)}{PARQUET}", receipt.bytes, receipt.blake2b, receipt.rows)
            for receipt in receipts
        )

    def _file(self, path: str, content: bytes | pa.Buffer, rows: int | None = None) -> File:
        return File(path.removeprefix(f"{self.root}/"), len(content), digest(content), rows)

    def publish(self) -> None:
        """Move the parts, then the report, to where they are read.

        Each table appears whole. Done again after a kill, it finishes.
        """
        locations.move_folder(self.filesystem, f"{self.staging}/parts", self.table_folder("predictions"), PARQUET)
        failpoints.reach("predictions published")
        for table in tables.REPORT:
            report = f"{self.table_folder(table)}/report{PARQUET}"
            locations.move_file(self.filesystem, f"{self.staging}/{table}/report", report)
        for name in locations.names(self.filesystem, f"{self.staging}/pages"):
            locations.move_file(self.filesystem, f"{self.staging}/pages/{name}", f"{self.folder}/{name}")

    def commit(self, published: Published) -> None:
        """Write run.json, which makes the run published."""
        locations.write_whole(self.filesystem, f"{self.folder}/run.json", as_json(published))

    def clear_staging(self) -> None:
        """Delete what only an unfinished run needs."""
        locations.delete_folder(self.filesystem, self.staging)


def _unplaced(page_labels: pa.ChunkedArray, pages: NDArray[np.int64], statuses: pa.ChunkedArray) -> int:
    """How many labels are of pages that their scan does not have; of a scan that was not read nobody knows."""
    if page_labels.null_count == len(page_labels):
        return 0
    of_scans = zip(page_labels.to_pylist(), pages.tolist(), statuses.to_pylist(), strict=True)
    return sum(
        label is not None
        for labels, count, status in of_scans
        if labels and (count > 1 or status in READ)
        for label in labels[count:]
    )


def part_name(shard: int) -> str:
    """The name of a shard's manifest file and of its part; where it is published, ``PARQUET`` follows."""
    return f"part-{shard:05d}"


def parquet(rows: pa.Table) -> pa.Buffer:
    """A table as the bytes of a Parquet file, zstd compressed."""
    buffer = pa.BufferOutputStream()
    pq.write_table(rows, buffer, compression="zstd")
    return buffer.getvalue()


def digest(content: bytes | pa.Buffer) -> str:
    """BLAKE2b-128 of a file's bytes, in hex."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()
