"""The scans of a fortnight: digits in the cells of three sources, as files, and what the model reads in them."""

import csv
import io
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import Grey, cell
from benchmarks.fortnight_books import NONE, Answer, Books, Key
from mnist_batch.intake import listing
from mnist_batch.learning import digits
from mnist_batch.models import answers, asking, bundle, certifying
from mnist_batch.models.answers import Model, ModelSpec
from mnist_batch.pixels import decoding
from mnist_batch.reading import preprocessing
from mnist_batch.reading.images import content_digest
from mnist_batch.store import changing, locations

CELLS: Mapping[str, Any] = {  # of each source, which has a scanner of its own
    "harbour": partial(cell, side=64, height=40),
    "station": partial(cell, side=96, height=60, paper=220, ink=55),
    "town-hall": partial(cell, side=56, height=34, paper=240, ink=30, noise=4),
}
DARKER = 0.8  # of each grey, by a bad scanner
AT_ONCE = 1_000  # pictures that the model gets


class Scans:
    """The sources below a folder or a bucket, written with the ``books`` at the same time.

    ``written`` is the picture and the digit in a file by its content; -1 where there is none.
    """

    def __init__(self, base: str, books: Books, seed: int) -> None:
        self.books, self.random = books, np.random.default_rng(seed)
        self.sources = {name: locations.absolute(f"{base}/scans/{name}") for name in CELLS}
        self.filesystem, _ = locations.resolve(base)
        self.written: dict[bytes, tuple[Grey, int]] = {}
        self.bytes: dict[bytes, bytes] = {}
        self.thresholds: dict[str, float] = {}  # of models
        self.digits = self._digits()

    def _digits(self) -> Iterator[tuple[Grey, int]]:
        pictures, labels = digits.mnist("test")
        while True:
            for at in self.random.permutation(len(labels)):
                yield pictures[at], int(labels[at])

    def scanned(self, name: str, digit: tuple[Grey, int], darker: bool = False) -> bytes:
        """The file that the scanner of a source makes of a digit."""
        page = CELLS[name](digit[0], self.random)
        content = decoding.encode((page * DARKER).astype(np.uint8) if darker else page)
        self.written[content_digest(content)] = digit
        return content

    def deliver(self, name: str, folder: str, count: int, darker: bool = False) -> list[Key]:
        """New scans of a source; returns them."""
        first = len(self.in_folder(name, folder))
        keys = [(self.sources[name], f"{folder}/{first + number + 1:04}.png") for number in range(count)]
        for key in keys:
            self.write(key, self.scanned(name, next(self.digits), darker))
        return keys

    def label(self, key: Key) -> int:
        """What is written on the scan that lies there."""
        return self.written[self.books.files[key].content][1]

    def write(self, key: Key, content: bytes) -> None:
        """Write a file, or write over it."""
        identity = content_digest(content)
        self.bytes[identity] = content
        changing.write_whole(self.filesystem, self._path(key), content)
        self.books.put(key, identity)

    def move(self, key: Key, to: Key) -> None:
        """Rename or move a file; at a store it is written again, and so has another time."""
        if locations.is_disk(self.filesystem):
            changing.move_file(self.filesystem, self._path(key), self._path(to))
            self.books.move(key, to)
        else:
            self.write(to, self.bytes[self.books.files[key].content])
            self.remove([key])

    def remove(self, keys: Iterable[Key]) -> None:
        """Delete files."""
        for key in keys:
            self.filesystem.delete_file(self._path(key))
            self.books.files.pop(key)

    def in_folder(self, name: str, folder: str) -> list[Key]:
        """The files in a folder of a source, sorted."""
        source = self.sources[name]
        return sorted(key for key in self.books.files if key[0] == source and key[1].startswith(f"{folder}/"))

    def read(self, model: str, location: str, target_error: float) -> None:
        """Enter what the model says of all files into the books: the pure core reads them here, without a job or Ray.

        ``model`` is the name of the model in the books.
        """
        known = self.books.answers
        new = sorted({file.content for file in self.books.files.values() if (model, file.content) not in known})
        if not new:
            return
        opened = bundle.open_bundle(location)
        asks_first = asking.asks_first(opened.facts, target_error, with_forms=False)
        calibration = opened.facts.calibration_where(asks_first)
        threshold = certifying.threshold_for(calibration, target_error, location)
        self.thresholds[model] = threshold
        loaded = Model.open(ModelSpec(location, opened.digest, asks_first=asks_first))
        with tempfile.TemporaryDirectory() as folder:
            for number, content in enumerate(new):
                (Path(folder) / f"{number:06}.png").write_bytes(self.bytes[content])
            batch = preprocessing.preprocess(listing.list_scans([folder]))
        for at in range(0, len(batch), AT_ONCE):
            rows = answers.answer(batch.slice(at, AT_ONCE), loaded, threshold)
            for row in rows.select(["content", "status", "digit", "decision"]).to_pylist():
                accepted = row["decision"] == "accept"
                known[model, row["content"]] = Answer(row["status"], row["digit"], accepted)

    def _path(self, key: Key) -> str:
        return locations.resolve(f"{key[0]}/{key[1]}")[1]

    def label_file(self) -> bytes:
        """The label file of today."""
        text = io.StringIO()
        named = (
            (source, scan, "none" if label == NONE else label) for (source, scan), label in self.books.truth.items()
        )
        csv.writer(text).writerows([("source", "scan", "label"), *named])
        return text.getvalue().encode()
