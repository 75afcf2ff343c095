"""What of a listing is new: all but what a published run has scored, known by content and not by name.

    listing -> path, size and time known? left out -> bytes read -> known? a row that names the answer -> else scored

Scans with the same bytes are scored once; the rows of the others name the first.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mnist_batch.described import described
from mnist_batch.intake import listing, selecting
from mnist_batch.reading import contents
from mnist_batch.runs import ledger, ledger_files, series
from mnist_batch.runs.command import Command
from mnist_batch.runs.ledger import Answer, Ledger, State
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Increment

log = logging.getLogger(__name__)


class NothingNew(Exception):
    """Nothing of what is listed is new; ``increment`` counts what was listed."""

    def __init__(self, increment: Increment) -> None:
        super().__init__("nothing new")
        self.increment = increment


@dataclass(frozen=True, kw_only=True)
class NewScans(Command):
    """Of the scans of a command those that are new; ``listed`` raises NothingNew where none is.

    ``digests`` reads the bytes of scans, as ``contents.digests`` does. Unless ``keeps_ledger``, files of the ledger
    that have to be made are not kept.
    """

    rescore: bool = described(
        False, "score all scans that are listed, also those that a published run has scored, such as by another model"
    )
    digests: Callable[[pa.Table], pa.Array] = contents.digests
    keeps_ledger: bool = True
    counts: Counter[str] = field(default_factory=Counter, compare=False)  # the fields of ``Increment``

    @cached_property
    def fingerprint(self) -> str:
        """Eight hex digits of all that decides the rows; a night is another series than a run of all scans."""
        only = "all" if self.rescore else "new"
        return series.fingerprint_of({"command": self.identity, "scans": only})

    @property
    def increment(self) -> Increment:
        """What was listed, and what of it is new."""
        return Increment(**{item.name: self.counts[item.name] for item in fields(Increment)})

    def listed(self, ask: listing.Ask | None = None) -> tuple[pa.Table, Mapping[str, int]]:
        """List the new scans with their labels, as ``Command.listed``; raises NothingNew where there is none."""
        found = super().listed(ask)
        if not len(found[0]):
            raise NothingNew(self.increment)
        return found

    def open_ledger(self) -> AbstractContextManager[Ledger]:
        """What is known of scans that this command would score."""
        facts = super().facts(tables.MANIFEST.empty_table())
        return ledger.opened(self.out, facts, self.keeps_ledger)

    def facts(self, listed: pa.Table) -> dict[str, Any]:
        """The fields of ``facts.Opened`` that this command decides, with what of the listing was new."""
        return super().facts(listed) | {"increment": self.increment}

    def _found(self, ask: listing.Ask | None, tally: selecting.Tally, sift: listing.Sift = iter) -> pa.Table:
        self.counts.clear()
        if self.rescore:
            return self._new(super()._found(ask, tally, sift), Ledger())
        with self.open_ledger() as known:
            return self._new(super()._found(ask, tally, partial(self._sifted, known)), known)

    def _say_nothing_is_there(self, tally: selecting.Tally) -> None:
        if not self.counts["listed"]:
            super()._say_nothing_is_there(tally)

    def _sifted(self, known: Ledger, rows: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The scans that are not known by path, size and time of change; all are counted."""
        for chunk in ledger_files.gathered(rows, ledger.CHUNK):
            states = known.states(chunk)
            for name, which in (("known", (State.KNOWN, State.FORMER)), ("former", State.FORMER), ("held", State.HELD)):
                self.counts[name] += int(np.isin(states, which).sum())
            self.counts["listed"] += len(chunk)
            yield chunk.filter(pa.array(states == State.NEW))

    def _new(self, found: pa.Table, known: Ledger) -> pa.Table:
        """The scans that are found, but for those whose bytes are in a held run; ``tables.OF_COPIES`` is filled."""
        if self.rescore:
            self.counts["listed"] = len(found)
        if not len(found):
            return found
        read = self._digests_of(found, known)
        answers = known.answers(read.drop_null().unique())
        waiting = [content for content, answer in answers.items() if answer.state == State.HELD]
        if waiting:
            new = pc.invert(pc.is_in(read, pa.array(waiting, read.type)))
            self.counts["held"] += len(found) - pc.sum(new).as_py()
            found, read = found.filter(new), read.filter(new)
        marked = with_copies(found, read, answers)
        same = marked["same_as"].is_valid()
        self.counts["moved"] = pc.sum(pc.and_(same, pc.is_valid(marked["same_as_run"]))).as_py() or 0
        self.counts["repeated"] = (pc.sum(same).as_py() or 0) - self.counts["moved"]
        self.counts["scored"] = len(marked) - self.counts["moved"] - self.counts["repeated"]
        return marked

    def _digests_of(self, found: pa.Table, known: Ledger) -> pa.Array:
        """The digests of the scans that may have the bytes of another, those of the same size; null for all others."""
        each, at, count = np.unique(found["size"].fill_null(0).to_numpy(), return_inverse=True, return_counts=True)
        wanted = (((count > 1) | known.has_sizes(each)) & (each > 0))[at]
        if wanted.any():
            log.info("%s of %s are read to see whether their bytes are known", f"{wanted.sum():,}", f"{len(found):,}")
        read = self.digests(found.select([*contents.COLUMNS]).take(np.flatnonzero(wanted)))
        return read.take(pa.array(np.cumsum(wanted) - 1, mask=~wanted))


def with_copies(scans: pa.Table, read: pa.Array, answers: Mapping[bytes, Answer]) -> pa.Table:
    """A manifest with the columns ``tables.OF_COPIES``, and ``content`` where the answer is in another row.

    ``read`` are the digests of the scans, null where they were not read: of these none has the bytes of another.
    ``answers`` says by digest which scan of an earlier run has the answer.
    """
    first, copies = _groups(read)
    known = [None if content is None else answers.get(content) for content in read.to_pylist()]
    earlier = np.array([answer is not None for answer in known], np.bool_)
    repeated = ~earlier & (first != np.arange(len(scans)))
    own = pa.array(first, mask=~repeated)
    columns = {
        "content": pc.if_else(pa.array(earlier | repeated), read, None),
        "copies": pa.array(copies, pa.int32(), mask=earlier | repeated),
    }
    for name, field_ in (("same_as", "scan"), ("same_as_source", "source")):
        there = pa.array([getattr(answer, field_, None) for answer in known], pa.string())
        columns[name] = pc.coalesce(there, scans[field_].combine_chunks().take(own))
    columns["same_as_run"] = pa.array([answer and answer.run_id for answer in known], pa.string())
    for name, column in columns.items():
        scans = tables.with_column(scans, name, column)
    return scans


def _groups(read: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row with the digest of each row, and how many rows have it, int64 (N,); null is like no other."""
    rows, there = np.arange(len(read)), read.is_valid().to_numpy(zero_copy_only=False)
    halves = ledger.halves(read.drop_null())
    order = np.lexsort(halves.T)  # stable: the first of a group stays its first
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (halves[order][1:] != halves[order][:-1]).any(axis=1)
    group = np.cumsum(begins) - 1
    firsts, sizes = order[begins], np.bincount(group, minlength=0)
    first, copies = rows.copy(), np.ones(len(read), np.int64)
    read_rows = rows[there]
    first[read_rows[order]] = read_rows[firsts[group]]
    copies[read_rows[order]] = sizes[group]
    return first, copies
