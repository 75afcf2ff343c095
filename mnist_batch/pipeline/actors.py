"""The two actors that a scan passes through: small classes around array functions."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from queue import LifoQueue

import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch import failpoints
from mnist_batch.errors import InputError
from mnist_batch.models import field_rule
from mnist_batch.models.answers import Model, ModelSpec, answer
from mnist_batch.models.engines import in_pieces
from mnist_batch.pipeline import form_tables, metrics
from mnist_batch.reading import isolated, preprocessing
from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.runs import parts
from mnist_batch.runs.run import Run
from mnist_batch.schemas.facts import FieldThresholds, FormFacts
from mnist_batch.store import locations

READERS = 2  # reading processes of an actor; by default there is such an actor for every two CPUs
CHUNK = 256  # scans that a reader gets at a time
CHUNK_AT_STORES = 1_024  # more, since none are under way at the beginning of each
CHUNK_OF_PAGES = 8  # fewer, since each may be a file of many pages: the other reader goes on with its neighbours
BYTES_OF_PAGES = 4 * 1024**2  # of a chunk of several files: one with more is read alone, and nothing waits behind it


class Preprocess:
    """A shard number in, one row per page of its scans out (``tables.PREPROCESSED``).

    Its scans are read by ``READERS`` processes, each given the next ``CHUNK`` of them when it is done with its last, or
    ``CHUNK_AT_STORES`` if the first of them is at a store. With forms it is given ``CHUNK_OF_PAGES`` of them at most,
    and no more than ``BYTES_OF_PAGES`` together.
    """

    def __init__(self, run: Run, limits: preprocessing.Limits | None = None, forms: Sequence[FormFacts] = ()) -> None:
        metrics.count_repeated_requests()
        self.run, self.with_forms = run, bool(forms)
        self.pool = ThreadPoolExecutor(READERS)
        # Last in, first out: a reader that already has its process is taken first.
        self.idle = LifoQueue[isolated.Reader]()
        for _ in range(READERS):
            self.idle.put(isolated.Reader(limits, forms=forms))

    def __call__(self, batch: pa.Table) -> pa.Table:
        """``batch`` has one row with one column, ``shard``."""
        [shard] = batch["shard"].to_pylist()
        manifest, fatal = self.run.shard(shard), self.run.fatal(shard)
        chunk = CHUNK_AT_STORES if locations.is_uri(manifest["source"][0].as_py()) else CHUNK
        firsts = _firsts_of_pages(manifest) if self.with_forms else [*range(0, len(manifest), chunk)]

        def read(first: int, end: int) -> pa.Table:
            known = {(row - first, page): what for (row, page), what in fatal.items() if first <= row < end}
            reader = self.idle.get()
            try:
                pages = reader.read(
                    manifest.slice(first, end - first),
                    shard,
                    known,
                    note=lambda row, *what: self.run.note_fatal(shard, first + row, *what),
                    beat=lambda row, page: self.run.beat(shard, first + row, page),
                    tell=self.run.tell,
                    again=lambda scans: metrics.count("mnist_batch_retries", scans, what="scan"),
                )
                return preprocessing.shifted(pages, first)
            finally:
                self.idle.put(reader)

        with metrics.timed("read"):
            chunks = self.pool.map(read, firsts, [*firsts[1:], len(manifest)])
            pages = pa.concat_tables(chunks).combine_chunks()
        metrics.count("mnist_batch_bytes", pc.sum(manifest["size"]).as_py() or 0)
        return pages

    def close(self) -> None:
        """End the reading processes; those of an actor end with it."""
        self.pool.shutdown()  # first: where one chunk brought up an error, the other reader is still at work on its own
        while not self.idle.empty():
            self.idle.get().close()


def _firsts_of_pages(manifest: pa.Table) -> list[int]:
    """The first row of each chunk of a manifest of files of pages."""
    firsts, together = [0], 0
    for row, size in enumerate(manifest["size"].to_pylist()):
        together += size or 0
        if row > firsts[-1] and (row - firsts[-1] == CHUNK_OF_PAGES or together > BYTES_OF_PAGES):
            firsts.append(row)
            together = size or 0
    return firsts


class Classify:
    """The rows of a shard (``tables.PREPROCESSED``) in; they are answered and written as its part; its receipt out.

    Answers at least as sure as ``threshold``, or as that of their source ``by_source``, are accepted; with
    ``keep_images`` the column ``image`` has the pictures. ``with_forms`` the run has forms: the rows are their cells,
    and what is accepted are the numbers in their fields that reach ``field_thresholds``.
    A bad bundle is reported by the first call: Ray turns an exception in a constructor into a dead actor and loses the
    message.
    """

    def __init__(
        self,
        run: Run,
        model: ModelSpec,
        threshold: float | None = None,
        keep_images: bool = False,
        by_source: Mapping[str, float | None] | None = None,
        with_forms: bool = False,
        field_thresholds: FieldThresholds | None = None,
    ) -> None:
        metrics.count_repeated_requests()
        self.forms = run.forms if with_forms else []
        self.accepts = None if field_thresholds is None else partial(field_rule.accepts, field_thresholds)
        self.run, self.threshold, self.keep_images, self.by_source = run, threshold, keep_images, by_source
        self.model: Model | InputError
        try:
            self.model = Model.open(model)
        except InputError as error:
            self.model = error

    def __call__(self, batch: pa.Table) -> pa.Table:
        # Writing tasks of their own would make Ray start a process every few seconds.
        with metrics.timed("classify"):
            rows, gathered = self.answered(batch), Aggregates.of_run(self.threshold)
        beside, unplaced = dict[str, pa.Table](), 0
        if self.forms:
            manifest = self.run.shard(batch["shard"][0].as_py())
            rows, beside, unplaced = form_tables.tabulate(rows, manifest, self.forms, self.accepts)
        gathered.add(rows, batch["picture"])
        gathered.add_beside(beside, rows, batch["picture"])
        receipt = parts.write_part(self.run, rows, gathered.table(), beside, unplaced)
        failpoints.reach("part written")
        metrics.count_rows(rows)
        return pa.Table.from_pylist([asdict(receipt)])

    def answered(self, batch: pa.Table) -> pa.Table:
        """The rows with their answers and without their pictures (``answer``)."""
        if isinstance(self.model, InputError):
            raise self.model
        number = batch["shard"][0].as_py() if len(batch) else 0
        engine = in_pieces(self.model.engine, lambda done: self.run.beat(number, "answered", done))
        model = replace(self.model, engine=engine)
        return answer(batch, model, self.threshold, self.keep_images, self.by_source)
