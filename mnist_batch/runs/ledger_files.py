"""The files of the ledger: one a run, derived from its ``predictions`` and kept below ``OUT/_ledger``.

A file that is missing, damaged or of another state of its run is made again.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mnist_batch.intake import scans
from mnist_batch.runs import parts
from mnist_batch.runs.run import Run, digest
from mnist_batch.schemas.facts import Published, RunFacts, as_json
from mnist_batch.statuses import PASSING, Status
from mnist_batch.store import changing, locations

log = logging.getLogger(__name__)

FOLDER = "_ledger"
BLOCK = 1_000_000  # rows of a file that are in memory at once
OF = b"mnist_batch.ledger"  # in the metadata of a file: the state of the run that it is derived from
ANSWERED_IN = b"mnist_batch.answered_in"  # the ids of other runs that have answers, as ``answered_in`` counts them
SCHEMA = pa.schema(
    [
        pa.field("path", pa.uint64()),  # ``scans.paths_of``; sorted within a row group
        pa.field("size", pa.int64()),
        pa.field("modified_ns", pa.int64()),
        pa.field("content", pa.binary(16)),
        pa.field("part", pa.int32()),  # where its first row is in the predictions of its run
        pa.field("row", pa.int32()),
        pa.field("answered_in", pa.int16()),  # -1: in its own run
    ]
)
# Without a digest of their bytes these are known by path, size and time; their bytes were not needed to say so.
UNREAD = (Status.EMPTY, Status.NOT_A_FILE, Status.TOO_LARGE)


def state_of(known: RunFacts) -> bytes:
    """What of a run a file of the ledger was derived from: its parts are never rewritten under the same state."""
    files = b"".join(map(as_json, known.files)) if isinstance(known, Published) else b"held"
    return digest(b"1 " + known.opened_at.encode() + files).encode()


def of_run(run: Run, known: RunFacts, folder: Path, keep: bool) -> tuple[str, list[str]]:
    """The path of the file of a run on this machine, and the runs that its ``answered_in`` counts.

    A file that has to be made is made in ``folder``, and kept in the output if ``keep`` is true.
    """
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
        changing.write_whole(run.filesystem, kept, pa.memory_map(copy).read_buffer())
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
    paths, status = scans.paths_of(part), part["status"].cast(pa.string())
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


def keep_only(out: str, runs: Collection[str]) -> None:
    """Delete the files of all other runs."""
    filesystem, root = locations.resolve(out)
    for name in locations.names(filesystem, f"{root}/{FOLDER}"):
        if name not in runs:
            changing.delete_file(filesystem, f"{root}/{FOLDER}/{name}")
