"""The ledger: what the published runs of an output have scored, by path and by content.

Each run has a file of it (``ledger_files``); a run that was discarded leaves the ledger. Everything is read block by
block, so that the memory it takes does not grow with what is known.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mnist_batch.intake import scans
from mnist_batch.runs import ledger_files, parts, series
from mnist_batch.runs.run import Run
from mnist_batch.schemas.facts import Opened, Published
from mnist_batch.store import locations, temporary

CHUNK = 500_000  # listed scans that are looked up at once: each time the whole ledger is read
UNKNOWN = bytes(16)  # stands for the digest of bytes that were not read


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

    def states(self, listed: pa.Table) -> NDArray[np.int8]:
        """The ``State`` of each scan of a manifest by its path, size and time of change."""
        keys = scans.paths_of(listed)
        order = np.argsort(keys)
        keys, (size, modified) = keys[order], (_whole(listed[name])[order] for name in ("size", "modified_ns"))
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
        """The published runs that have the bytes which lay last at one of these ``scans.paths_of``, the newest first.

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


def rows_beside(run: Run, paths: NDArray[np.uint64] | None) -> Iterator[pa.Table]:
    """The sources and scans of the rows of a run, part by part, but for those at these ``scans.paths_of``."""
    for part in parts.read_parts(run, ["source", "scan"]):
        yield beside(part, paths)


def beside(rows: pa.Table, paths: NDArray[np.uint64] | None) -> pa.Table:
    """The rows, but for those at these ``scans.paths_of``."""
    return rows.filter(pa.array(~np.isin(scans.paths_of(rows), paths))) if paths is not None and len(paths) else rows


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
            file, others = ledger_files.of_run(dated, known, folder, keep)
            gone = tuple(at for at, other in enumerate(others) if other not in there | {run.run_id})
            entries.append(Entry(dated, state, file, known.opened_at, gone))
        if keep:
            ledger_files.keep_only(out, {run.run_id for run in runs})
        yield Ledger(sorted(entries, key=lambda entry: (entry.state, entry.opened_at), reverse=True))


def _known(run: Run) -> Published | Opened | None:
    """The facts of a run that is published, or held."""
    return run.published or (run.opened if run.held else None)
