"""One run on disk: where its files are, what they record, and which attempt may write."""

import datetime
import hashlib
import json
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mnist_batch import failpoints
from mnist_batch.errors import Locked
from mnist_batch.forms.form import Form, parse
from mnist_batch.forms.form import as_json as form_json
from mnist_batch.runs import records
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Facts, Held, Opened, Published, Totals, as_json, from_json
from mnist_batch.schemas.likeness_facts import Judgement
from mnist_batch.statuses import Status
from mnist_batch.store import changing, conditional, locations, locks

FORM_FILE = re.compile(r"form-[0-9]{3,}\.json")
LOCK = ".lock"  # the ending of lock files
TOLD = "told-"  # how the names of sentences for the driver begin
PARQUET = ".parquet"  # of published files only, so that OUT/**/*.parquet matches nothing that is staged


@dataclass(frozen=True)
class Run:
    """One run of scoring below ``out``, before and after it is published.

    ``attempt`` names the process that scores it: only the attempt that began last may write parts.
    """

    out: str
    run_id: str
    run_date: str
    attempt: str = field(default="", compare=False)

    @property
    def filesystem(self) -> Any:
        """The file system of ``out``; not kept, since credentials may be renewed while the run goes on."""
        return locations.resolve(self.out)[0]

    def __getstate__(self) -> dict[str, str]:  # what is cached does not travel to another process
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__dict__.update(state)

    @cached_property
    def root(self) -> str:
        """The path of ``out`` on its file system."""
        return locations.resolve(self.out)[1]

    @property
    def staging(self) -> str:
        """The folder of what only an unfinished run needs."""
        return f"{self.root}/_staging/{self.run_id}"

    @property
    def folder(self) -> str:
        """The folder of run.json and of the files that people open."""
        return f"{self.root}/runs/{self.run_id}"

    @property
    def lock(self) -> str:
        """The path of the lock file, or of the lease at a store."""
        return f"{self.root}/_staging/{self.run_id}{LOCK}"

    @property
    def at_store(self) -> bool:
        """True where files cannot be renamed: they are written where they stay, and run.json says which ones count."""
        return not locations.is_disk(self.filesystem)

    def location(self, path: str) -> str:
        """A path of this run as a location that any process can open, with the scheme of its store."""
        return locations.named(self.out, path)

    def table_folder(self, table: str) -> str:
        """The folder of this run in ``predictions`` or a table of its report."""
        return f"{self.root}/{table}/run_date={self.run_date}/run_id={self.run_id}"

    def file_name(self, stem: str, blake2b: str) -> str:
        """The name of a published file; at a store it tells the content, so that no other one is written over it."""
        return f"{stem}-{blake2b[:16]}{PARQUET}" if self.at_store else f"{stem}{PARQUET}"

    def part_path(self, table: str, shard: int, blake2b: str) -> str:
        """Where the file of a shard in ``predictions`` or a table beside it is written: staged, or where it stays."""
        if self.at_store:
            return f"{self.table_folder(table)}/{self.file_name(part_name(shard), blake2b)}"
        return f"{self.staging}/{'parts' if table == 'predictions' else f'beside/{table}'}/{part_name(shard)}"

    @property
    def published(self) -> Published | None:
        """The content of run.json; None if the run is not published. Raises DamagedRun if it cannot be read."""
        remedy = f"restore it from a backup, or withdraw the run: {self.discarding}"
        return records.read(self.filesystem, f"{self.folder}/run.json", Published, remedy)

    @property
    def opened(self) -> Opened | None:
        """What was frozen when the run was opened; None before that and after it is published.

        Raises DamagedRun where it cannot be read, and InputError where another version wrote it.
        """
        return self._staged("opened", Opened)

    @property
    def refused(self) -> Totals | None:
        """The totals that ``refuse`` recorded; None if the run was not refused."""
        return self._staged("refused", Totals)

    @property
    def withheld(self) -> Judgement | None:
        """The judgement that ``withhold`` recorded; None if no answers have been withheld."""
        return self._staged("withheld", Judgement)

    @property
    def held(self) -> Held | None:
        """What ``hold`` recorded; None if the run was not held."""
        return self._staged("held", Held)

    def _staged(self, name: str, kind: type[Facts]) -> Facts | None:
        remedy = f"throw the unfinished run away: {self.discarding}"
        return records.read(self.filesystem, f"{self.staging}/{name}.json", kind, remedy)

    @property
    def discarding(self) -> str:
        """The command that discards this run."""
        return f"python -m mnist_batch discard --out {shlex.quote(self.out)} --run {self.run_id}"

    @property
    def form_files(self) -> dict[str, bytes]:
        """The form.json of each form of the run, by the name that the file has beside run.json."""
        for folder in (f"{self.staging}/forms", self.folder):
            names = [name for name in locations.names(self.filesystem, folder) if FORM_FILE.fullmatch(name)]
            if names:
                return {name: locations.read(self.filesystem, f"{folder}/{name}") for name in sorted(names)}
        return {}

    @property
    def forms(self) -> list[Form]:
        """The forms of the run as they were when it was opened."""
        return [parse(content, self.location(f"{self.folder}/{name}")) for name, content in self.form_files.items()]

    def freeze(self, shards: Sequence[pa.Table], opened: Opened, forms: Sequence[Form] = ()) -> None:
        """Write the manifest, one file per shard, the forms, then ``opened.json``: from here on the run resumes."""
        self.clear_staging()
        for number, shard in enumerate(shards):
            path = f"{self.staging}/manifest/{part_name(number)}"
            changing.write_whole(self.filesystem, path, parquet(shard))
        for number, form in enumerate(forms):
            changing.write_whole(self.filesystem, f"{self.staging}/forms/form-{number:03d}.json", form_json(form))
        changing.write_whole(self.filesystem, f"{self.staging}/opened.json", as_json(opened))

    def shard(self, number: int) -> pa.Table:
        """One shard of the frozen manifest."""
        return locations.read_table(self.filesystem, f"{self.staging}/manifest/{part_name(number)}")

    def begin_attempt(self) -> "Run":
        """Begin a new attempt and return the run with it; parts that an earlier attempt still writes are refused."""
        changing.delete_folder(self.filesystem, f"{self.staging}/beats")
        attempt = secrets.token_hex(8)
        changing.write_whole(self.filesystem, f"{self.staging}/attempt", attempt.encode())
        return replace(self, attempt=attempt)

    def check_attempt(self) -> None:
        """Raise Locked if another process has begun to score this run since this attempt began."""
        path = f"{self.staging}/attempt"
        if self.attempt and locations.read_if_there(self.filesystem, path) != self.attempt.encode():
            raise Locked(f"run {self.run_id}: another process has taken this run over; wait for it to end")

    @cached_property
    def listing(self) -> str:
        """The digest of what the run listed; empty after it is published."""
        return opened.listing if (opened := self.opened) else ""

    def refuse(self, totals: Totals) -> None:
        """Record that too many scans could not be read for this run to be published."""
        changing.write_whole(self.filesystem, f"{self.staging}/refused.json", as_json(totals))

    def hold(self, held: Held) -> None:
        """Record that the run broke a gate: its results stay staged until a person decides."""
        changing.write_whole(self.filesystem, f"{self.staging}/held.json", as_json(held))

    def withhold(self, judgement: Judgement) -> None:
        """Record why answers are withheld: from here on it is not judged anew."""
        changing.write_whole(self.filesystem, f"{self.staging}/withheld.json", as_json(judgement))

    def note_fatal(self, shard: int, row: int, page: int | None, status: Status, reason: str) -> None:
        """Record that a page of a scan, or its file, kills the process that reads it, so that it is not read again."""
        note = json.dumps({"status": status, "reason": reason}).encode()
        name = f"{shard}-{row}" if page is None else f"{shard}-{row}-{page}"
        changing.write_whole(self.filesystem, f"{self.staging}/fatal/{name}.json", note)

    def beat(self, shard: int, *at: int | str) -> None:
        """Leave a sign of life while a long shard is read or answered, and how far it is."""
        name = "-".join(map(str, (shard, *at)))
        changing.write_whole(self.filesystem, f"{self.staging}/beats/{name}", b"")

    def tell(self, what: str) -> None:
        """Leave a sentence for the log of the run's driver; the same sentence is left once, whoever tells it."""
        name = f"{TOLD}{digest(what.encode())[:8]}"
        changing.write_whole(self.filesystem, f"{self.staging}/beats/{name}", what.encode())

    def told(self, name: str) -> str:
        """The sentence that ``tell`` has left, by its name among the signs of life."""
        return locations.read(self.filesystem, f"{self.staging}/beats/{name}").decode()

    def fatal(self, shard: int) -> dict[tuple[int, int | None], tuple[Status, str]]:
        """The status and reason of what is fatal of a shard, by row and page, as ``note_fatal`` recorded them."""
        known: dict[tuple[int, int | None], tuple[Status, str]] = {}
        for name in self.fatal_names():
            number, row, *page = map(int, name.removesuffix(".json").split("-"))
            if number == shard:
                note = json.loads(locations.read(self.filesystem, f"{self.staging}/fatal/{name}"))
                known[row, page[0] if page else None] = Status(note["status"]), note["reason"]
        return known

    def fatal_names(self) -> list[str]:
        """The names of the notes on fatal scans of all shards."""
        return [name for name in locations.names(self.filesystem, f"{self.staging}/fatal") if name[0] != "."]

    def signs_of_life(self) -> frozenset[str]:
        """Names that are more with every fatal scan, with every beat, and with every sentence told."""
        return frozenset([*self.fatal_names(), *locations.names(self.filesystem, f"{self.staging}/beats")])

    def parquet(self, rows: pa.Table, metadata: Mapping[str, str] = MappingProxyType({})) -> pa.Buffer:
        """The rows of a table of this run as the bytes of the file that is published."""
        published = tables.of_run(rows, self.run_date, self.run_id)
        return parquet(published.replace_schema_metadata(published.schema.metadata | metadata))

    def commit(self, published: Published, known: Published | None = None) -> None:
        """Write run.json: from here on the run is published. ``known`` is what it said before, if it did.

        Raises Locked if another process has published the run, at a store that keeps conditions.
        """
        path, content = f"{self.folder}/run.json", as_json(published)
        if not self.at_store:
            changing.write_whole(self.filesystem, path, content)
            return
        locks.check(self.lock)
        failpoints.reach("commit")
        objects = conditional.at(self.out)
        there = objects.read(path) if known else None
        if there is None:
            written = objects.create(path, content)
        else:
            same = from_json(Published, there.content) == known
            written = same and objects.replace(path, content, there)
        if not written:
            raise Locked(f"run {self.run_id}: another process has published it meanwhile; nothing of it was replaced")

    def clear_staging(self) -> None:
        """Delete the files that only an unfinished run needs."""
        changing.delete_folder(self.filesystem, self.staging)


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


def now() -> str:
    """The current time, as run.json has it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
