"""The ledger: what the published runs of an output have scored, by path and by content.

It is derived from ``predictions`` and kept as a file per run below ``OUT/_ledger``. A file that is missing, damaged or
of another state of its run is made again, and a run that was discarded leaves the ledger. Everything is read block by
block, so that the memory it takes does not grow with what is known.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mnist_batch.runs import parts, series
from mnist_batch.runs.run import Run, digest
from mnist_batch.schemas.facts import Opened, Published, RunFacts, as_json
from mnist_batch.statuses import PASSING, Status
from mnist_batch.store import locations, temporary

log = logging.getLogger(__name__)

FOLDER = "_ledger"
BLOCK = 1_000_000  # rows of a file that are in memory at once
CHUNK = 500_000  # listed scans that are looked up at once: each time the whole ledger is read
OF = b"mnist_batch.ledger"  # in the metadata of a file: the state of the run that it is derived from
ANSWERED_IN = b"mnist_batch.answered_in"  # the ids of other runs that have answers, as ``answered_in`` counts them
SCHEMA = pa.schema(
    [
        pa.field("path", pa.uint64()),  # ``paths_of``; sorted within a row group
        pa.field("size", pa.int64()),
        pa.field("modified_ns", pa.int64()),
        pa.field("content", pa.binary(16)),
        pa.field("part", pa.int32()),  # where its first row is in the predictions of its run
        pa.field("row", pa.int32()),
        pa.field("answered_in", pa.int16()),  # -1: in its own run
    ]
)
UNKNOWN = bytes(16)  # stands for the digest of bytes that were not read
# Without a digest of their bytes these are known by path, size and time; their bytes were not needed to say so.
UNREAD = (Status.EMPTY, Status.NOT_A_FILE, Status.TOO_LARGE)


class State(IntEnum):
    """What the ledger knows of a scan: nothing, or that it is in a held run, or who answered it."""

    NEW = 0
    HELD = 1
    FORMER = 2  # answered by another model, or with other settings that decide answers
    KNOWN = 3


@dataclass(frozen=True)
class Entry:
    """A run in the ledger: its ``file`` on this machine, and which ``answered_in`` of it are of runs that are gone."""

    run: Run
    state: State
    file: str
    opened_at: str
    gone: tuple[int, ...] = ()

    def blocks(self, *columns: str) -> Iterator[pa.RecordBatch]:
        """These columns of the scans whose answers are still there."""
        with pq.ParquetFile(self.file) as file:
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, [*columns, "answered_in"], use_threads=False)
                if self.gone:
                    rows = rows.filter(pc.invert(pc.is_in(rows["answered_in"], pa.array(self.gone, pa.int16()))))
                yield rows.combine_chunks()


@dataclass(frozen=True)
class Answer:
    """Where the answer to a content is; ``scan`` is None in a held run."""

    state: State
    run_id: str
    source: str | None = None
    scan: str | None = None


@dataclass(frozen=True)
class Ledger:
    """The runs that are known, those first whose answers count most."""

    entries: Sequence[Entry] = ()

    def states(self, scans: pa.Table) -> NDArray[np.int8]:
        """The ``State`` of each scan of a manifest by its path, size and time of change."""
        keys = paths_of(scans)
        order = np.argsort(keys)
        keys, (size, modified) = keys[order], (_whole(scans[name])[order] for name in ("size", "modified_ns"))
        found = np.zeros(len(keys), np.int8)
        for entry in self.entries if len(keys) else ():
            for block in entry.blocks("path", "size", "modified_ns"):
                path = block["path"].to_numpy()
                at = np.minimum(np.searchsorted(keys, path), len(keys) - 1)
                same = (keys[at] == path) & (size[at] == _whole(block["size"]))
                at = at[same & (size[at] >= 0) & (modified[at] == _whole(block["modified_ns"]))]
                found[at] = np.maximum(found[at], entry.state)
        states = np.empty_like(found)
        states[order] = found
        return states

    def has_sizes(self, sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these sizes in bytes a known scan has."""
        found = np.zeros(len(sizes), np.bool_)
        for entry in self.entries:
            for block in entry.blocks("size"):
                found |= np.isin(sizes, _whole(block["size"]))
        return found

    def runs_with(self, paths: NDArray[np.uint64]) -> Iterator[tuple[Run, NDArray[np.uint64]]]:
        """The published runs that have the bytes which lay last at one of these ``paths_of``, the newest run first.

        With each run come those of the paths where it has other bytes: they were changed since.
        """
        paths = np.unique(paths)
        last, known = np.zeros((len(paths), 2), np.uint64), np.zeros(len(paths), np.bool_)
        for entry in sorted(self.entries, key=lambda entry: entry.opened_at, reverse=True) if len(paths) else ():
            here, changed = 0, list[NDArray[np.uint64]]()
            for block in entry.blocks("path", "content"):
                path = block["path"].to_numpy()
                at = np.minimum(np.searchsorted(paths, path), len(paths) - 1)
                asked = paths[at] == path
                at, content = (
                    at[asked],
                    halves(block["content"].combine_chunks().filter(pa.array(asked)).fill_null(UNKNOWN)),
                )
                first = ~known[at]
                last[at[first]], known[at] = content[first], True
                other = (last[at] != content).any(axis=1)
                here, changed = here + int((~other).sum()), [*changed, paths[at[other]]]
            if here and entry.state != State.HELD:
                yield entry.run, np.concatenate(changed)

    def answers(self, contents: pa.Array) -> dict[bytes, Answer]:
        """Where the answers to these contents are, binary(16) without nulls, for those that any run has."""
        asked = halves(contents)
        asked = asked[np.argsort(asked[:, 0])]
        found = dict[bytes, Answer]()
        for entry in self.entries if len(asked) else ():
            places = dict[bytes, tuple[int, int]]()
            for block in entry.blocks("content", "part", "row"):
                own = block.filter(pc.and_(pc.is_valid(block["content"]), pc.equal(block["answered_in"], -1)))
                known = halves(own["content"].combine_chunks())
                # Different contents with the same first half do not happen; if so, the second is read and scored.
                at = np.minimum(np.searchsorted(asked[:, 0], known[:, 0]), len(asked) - 1)
                hits = own.filter(pa.array((asked[at] == known).all(axis=1)))
                for hit in hits.to_pylist():
                    places.setdefault(hit["content"], (hit["part"], hit["row"]))
            places = {content: place for content, place in places.items() if content not in found}
            found |= _named(entry, places)
        return found


def _named(entry: Entry, places: Mapping[bytes, tuple[int, int]]) -> dict[bytes, Answer]:
    """The answers at these places, (part, row), of a run."""
    if entry.state == State.HELD:
        return {content: Answer(State.HELD, entry.run.run_id) for content in places}
    paths, found = [path for _, path in sorted(parts.part_paths(entry.run).items())], dict[bytes, Answer]()
    for part in sorted({part for part, _ in places.values()}):
        here = [(content, row) for content, (at, row) in places.items() if at == part]
        rows = locations.read_table(entry.run.filesystem, paths[part], ["source", "scan"])
        named = rows.take([row for _, row in here]).to_pylist()
        for (content, _), row in zip(here, named, strict=True):
            found[content] = Answer(entry.state, entry.run.run_id, row["source"], row["scan"])
    return found


def paths_of(rows: pa.Table) -> NDArray[np.uint64]:
    """A number for the location of each scan, by its source and its name below it: uint64 (N,).

    Two locations have the same number once in 2**64 pairs, and it counts only if size and time are the same, too.
    """
    names = pc.binary_join_element_wise(
        pc.utf8_rtrim(rows["source"].cast(pa.string()), "/"), rows["scan"].cast(pa.string()), "/"
    )
    chunks = [pd.util.hash_array(chunk.to_numpy(zero_copy_only=False), categorize=False) for chunk in names.chunks]
    return np.concatenate([np.empty(0, np.uint64), *chunks])


def rows_beside(run: Run, paths: NDArray[np.uint64] | None) -> Iterator[pa.Table]:
    """The sources and scans of the rows of a run, part by part, but for those at these ``paths_of``."""
    for part in parts.read_parts(run, ["source", "scan"]):
        if paths is not None and len(paths):
            part = part.filter(pa.array(~np.isin(paths_of(part), paths)))
        yield part


def _whole(column: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = column.fill_null(-1).to_numpy()
    return numbers


def halves(contents: pa.Array) -> NDArray[np.uint64]:
    """Digests, binary(16) without nulls, as uint64 (N, 2)."""
    if not len(contents):
        return np.empty((0, 2), np.uint64)
    flat = np.frombuffer(contents.buffers()[1], np.uint64)
    return flat[2 * contents.offset : 2 * (contents.offset + len(contents))].reshape(-1, 2)


# What decides the answer to a scan, among the facts of a run; the labels, sources and pictures do not.
DECIDING = (
    *("engine", "asks_first", "preprocessing", "temperature", "beta", "target_error", "threshold", "by_source"),
    *("field_thresholds", "trust_anyway"),
)


def reading_of(facts: Mapping[str, Any]) -> tuple[Any, ...]:
    """What decides answers, of the facts of a run by name: two runs of the same would answer alike."""
    limits = facts["limits"]
    others = tuple(repr(facts.get(name)) for name in DECIDING)
    return (facts["model"].digest, limits.max_bytes, limits.max_pixels, *others)


def forms_of(facts: Mapping[str, Any]) -> frozenset[str]:
    """The digests of the forms of a run: with other forms, other things were asked of the same pages."""
    return frozenset(form.digest for form in facts["forms"])


@contextmanager
def opened(out: str, facts: Mapping[str, Any], keep: bool = True) -> Iterator[Ledger]:
    """The ledger of an output for a run that will have these ``facts``, by name.

    Files that are made are kept in the output, unless ``keep`` is false. At a store, they are copied to this machine
    for as long as the context lasts.
    """
    out = locations.absolute(out)
    with temporary.folder("mnist-batch-ledger-") as folder:
        runs = [Run(out, run_id, "") for run_id in series.known_runs(out)]
        said = [(run, known) for run in runs if (known := _known(run))]
        there = {run.run_id for run, known in said if isinstance(known, Published)}
        entries = []
        for run, known in said:
            named = vars(known)
            if forms_of(named) != forms_of(facts):
                continue
            state = State.KNOWN if reading_of(named) == reading_of(facts) else State.FORMER
            state = state if isinstance(known, Published) else State.HELD
            dated = Run(out, run.run_id, known.run_date)
            file, others = _file(dated, known, folder, keep)
            gone = tuple(at for at, other in enumerate(others) if other not in there | {run.run_id})
            entries.append(Entry(dated, state, file, known.opened_at, gone))
        if keep:
            _forget(out, {run.run_id for run in runs})
        yield Ledger(sorted(entries, key=lambda entry: (entry.state, entry.opened_at), reverse=True))


def _known(run: Run) -> Published | Opened | None:
    """The facts of a run that is published, or held."""
    return run.published or (run.opened if run.held else None)


def state_of(known: RunFacts) -> bytes:
    """What of a run a file of the ledger was derived from: its parts are never rewritten under the same state."""
    files = b"".join(map(as_json, known.files)) if isinstance(known, Published) else b"held"
    return digest(b"1 " + known.opened_at.encode() + files).encode()


def _file(run: Run, known: RunFacts, folder: Path, keep: bool) -> tuple[str, list[str]]:
    """The path of the file of a run on this machine, and the runs that its ``answered_in`` counts."""
    kept, copy, state = f"{run.root}/{FOLDER}/{run.run_id}", f"{folder}/{run.run_id}", state_of(known)
    on_disk = locations.is_disk(run.filesystem)
    if not on_disk and (content := locations.read_if_there(run.filesystem, kept)) is not None:
        Path(copy).write_bytes(content)
    path = kept if on_disk else copy
    if (others := _valid(path, state)) is not None:
        return path, others
    log.info("ledger: reads run %s", run.run_id)
    others = list[str]()
    blocks = (_scans(part, number, others) for number, part in enumerate(parts.read_parts(run, _COLUMNS)))
    write(copy, blocks, state, others)
    if keep:
        locations.write_whole(run.filesystem, kept, pa.memory_map(copy).read_buffer())
    return copy, others


def _valid(path: str, state: bytes) -> list[str] | None:
    """The runs that a file names, if it is whole and derived from this state of its run; else None."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            metadata = file.metadata.metadata
            if metadata.get(OF) != state or file.schema_arrow.names != SCHEMA.names:
                return None
            for group in range(file.num_row_groups):
                file.read_row_group(group, use_threads=False)
            return str(metadata[ANSWERED_IN].decode()).split()
    except (pa.ArrowException, OSError, KeyError, AttributeError):
        return None


def write(path: str, blocks: Iterable[pa.Table], state: bytes, others: Sequence[str]) -> None:
    """Write the file of a run: its scans, ``SCHEMA``, its ``state``, and the ``others`` that ``answered_in`` counts.

    ``others`` may grow while the blocks are made.
    """
    plain: dict[str, Any] = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    with pq.ParquetWriter(path, SCHEMA, write_page_checksum=True, **plain) as writer:
        for block in gathered(blocks, BLOCK):
            writer.write_table(block.take(np.argsort(block["path"].to_numpy())), row_group_size=2 * BLOCK)
        writer.add_key_value_metadata({OF: state, ANSWERED_IN: " ".join(others)})


_COLUMNS = ["source", "scan", "status", "content", "size", "modified_ns", "same_as_run"]


def _scans(part: pa.Table, number: int, others: list[str]) -> pa.Table:
    """The scans of a part of predictions that need not be scored again, a row each; ``others`` is added to."""
    paths, status = paths_of(part), part["status"].cast(pa.string())
    first = np.flatnonzero(np.diff(paths, prepend=~paths[:1]))
    scan = np.repeat(np.arange(len(first)), np.diff([*first, len(paths)]))
    passing = np.isin(np.arange(len(first)), scan[pc.is_in(status, pa.array(PASSING)).to_numpy()])
    rows = part.take(first)
    known = pc.or_(pc.is_valid(rows["content"]), pc.is_in(status.take(first), pa.array(UNREAD)))
    kept = known.to_numpy() & ~passing
    answered_in = []
    for other in rows["same_as_run"].filter(pa.array(kept)).to_pylist():
        if other is not None and other not in others:
            others.append(other)
        answered_in.append(-1 if other is None else others.index(other))
    return pa.table(
        {
            "path": paths[first][kept],
            **{name: rows[name].filter(pa.array(kept)) for name in ("size", "modified_ns", "content")},
            "part": np.full(kept.sum(), number, np.int32),
            "row": first[kept].astype(np.int32),
            "answered_in": pa.array(answered_in, pa.int16()),
        },
        schema=SCHEMA,
    )


def gathered(tables: Iterable[pa.Table], most: int) -> Iterator[pa.Table]:
    """The rows of tables in tables of ``most`` rows, or somewhat more."""
    waiting = list[pa.Table]()
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= most:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _forget(out: str, runs: set[str]) -> None:
    filesystem, root = locations.resolve(out)
    for name in locations.names(filesystem, f"{root}/{FOLDER}"):
        if name not in runs:
            locations.delete_file(filesystem, f"{root}/{FOLDER}/{name}")
