"""The labelled digits of each ``--data``: read and normalised as scans are, each picture once, some held out."""

import logging
import tempfile
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mnist_batch.errors import InputError
from mnist_batch.intake import scans
from mnist_batch.learning import announcing, digits, holding_out
from mnist_batch.learning.digits import Digits
from mnist_batch.learning.listed import Listed
from mnist_batch.models import answers
from mnist_batch.reading import isolated
from mnist_batch.schemas import tables
from mnist_batch.schemas.bundle_facts import DataFacts, OwnScans
from mnist_batch.schemas.tables import CLASSES
from mnist_batch.statuses import Status
from mnist_batch.wording import counted

log = logging.getLogger(__name__)

BLOCK_SIZE = 5_000
HELD_OUT_SEED = 0  # not the recipe's, so that every seed and number of workers has the same validation digits


@dataclass(frozen=True)
class Labelled:
    """The digits of a ``--data``; ``held_out``, bool (N,), says which of them are held out.

    ``writers``, int16 (N,), are the numbers of their writers, ``digits.UNKNOWN`` where they are not known. ``facts``
    and ``scans`` are what model.json records of them, ``scans`` None for MNIST. ``wrongly_labelled`` are the images, as
    bytes, whose label is known to be wrong.
    """

    digits: Digits
    held_out: NDArray[np.bool_]
    writers: NDArray[np.int16]
    facts: DataFacts
    scans: OwnScans | None = None
    wrongly_labelled: frozenset[bytes] = frozenset()


def read_all(listed: Sequence[Listed], most_held_out: int) -> list[Labelled]:
    """Read each ``--data`` on Ray; a picture that is in several of them counts for the first.

    Raises InputError if one has fewer than two pictures.
    """
    found: list[Labelled] = []
    for one in listed:
        known = {image.tobytes() for other in found for image in other.digits.images}
        found.append((mnist if one.scans is None else read)(one, most_held_out, known))
    return found


def mnist(listed: Listed, most_held_out: int, known: Collection[bytes] = frozenset()) -> Labelled:
    """The training digits of the embedded MNIST that are not ``known``, shuffled on Ray; the first are held out.

    These are ``most_held_out``, or a sixth if that is less.
    """
    import ray
    import ray.data

    whole = digits.mnist("train")
    if known:
        whole = whole.take(np.array([image.tobytes() not in known for image in whole.images], bool))
    table = digits.table(digits.mixed([whole]))
    blocks = [table.slice(at, BLOCK_SIZE) for at in range(0, len(table), BLOCK_SIZE)]
    shuffled = ray.data.from_arrow(blocks).random_shuffle(seed=HELD_OUT_SEED).materialize()
    in_order = digits.arrays(ray.get(shuffled.to_arrow_refs())).digits
    held_out = np.arange(len(table)) < min(most_held_out, len(table) // 6)
    facts = _facts(listed, in_order, held_out, [], digits.EMBEDDED)
    unknown = np.full(len(table), digits.UNKNOWN, np.int16)
    return Labelled(
        in_order, held_out, unknown, facts, wrongly_labelled=_wrong(in_order, digits.contents(in_order.images))
    )


def read(listed: Listed, most_held_out: int, known: Collection[bytes] = frozenset()) -> Labelled:
    """Read and normalise scans on Ray, just as in scoring, and hold out at most about ``most_held_out``.

    Scans that cannot be learned from are left out with a warning that names the first few.
    """
    import ray.data

    shards = scans.cut(listed.scans)
    actors = min(len(shards), max(1, int(ray.cluster_resources().get("CPU", 1))))
    rows = ray.data.from_arrow(shards).map_batches(
        ReadPictures if listed.is_file else ReadScans,
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=actors),
    )
    blocks = list(rows.iter_batches(batch_size=None, batch_format="pyarrow"))
    pages = pa.concat_tables(blocks).sort_by([("scan", "ascending"), ("page", "ascending")]).combine_chunks()
    return sort_out(pages, listed, most_held_out, known)


class ReadScans:
    """An actor that reads shards of scans, ``tables.MANIFEST``, all with one reading process."""

    def __init__(self) -> None:
        self.reader = isolated.Reader()

    def __call__(self, manifest: pa.Table) -> pa.Table:
        """One row a page: the columns that ``sort_out`` needs."""
        return _with_writers(self.reader.read(manifest), manifest)


class ReadPictures(ReadScans):
    """An actor that reads shards of ``listed.PICTURES``: as files, with the process that reads scans."""

    def __call__(self, pictures: pa.Table) -> pa.Table:
        """One row a page, as ``ReadScans`` gives it."""
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, str(row)) for row in range(len(pictures))]
            for path, content in zip(paths, pictures["content"], strict=True):
                path.write_bytes(content.as_py())
            columns = {
                "source": [folder] * len(paths),
                "scan": pictures["scan"],
                "path": [bytes(path) for path in paths],
                "label": pictures["label"],
            }
            nothing = {name: [None] * len(paths) for name in tables.MANIFEST.names if name not in columns}
            return _with_writers(self.reader.read(tables.table(tables.MANIFEST, columns | nothing)), pictures)


def _with_writers(pages: pa.Table, given: pa.Table) -> pa.Table:
    found = pages.select(["scan", "page", "label", "status", "content", "picture"])
    of_pages = given.take(pages["row"])
    for name in ("writer", "part"):
        known = name in given.column_names
        found = found.append_column(name, of_pages[name] if known else pa.nulls(len(found), pa.string()))
    return found


def sort_out(pages: pa.Table, listed: Listed, most_held_out: int, known: Collection[bytes] = frozenset()) -> Labelled:
    """Decide which of the pages that an actor read are learned from and held out; none whose picture is ``known``.

    ``pages`` has columns scan, label, status, content and picture of ``tables.PREPROCESSED``, and writer and part.
    """
    ok = pc.equal(pages["status"], Status.OK)
    unread, usable = pages.filter(pc.invert(ok)), pages.filter(ok).combine_chunks()
    images, labels = answers.images_of(usable), usable["label"].to_numpy()
    kept, contradicting = holding_out.distinct(images, labels, known)
    found = Digits(images[kept], labels[kept])
    writers, parts = (usable[name].take(kept).drop_null().to_pylist() for name in ("writer", "part"))
    held_out = _held_out(found.labels, writers, parts, listed, most_held_out)
    own = OwnScans(
        learned=tuple(np.bincount(found.labels[~held_out], minlength=CLASSES).tolist()),
        held_out=tuple(np.bincount(found.labels[held_out], minlength=CLASSES).tolist()),
        copies=len(usable) - len(kept) - len(contradicting),
        contradicting=len(contradicting),
        unreadable=dict(Counter(unread["status"].to_pylist())),
        ignored=listed.ignored,
    )
    announcing.left_out(listed, own, usable["scan"].take(pa.array(contradicting)), unread)
    if held_out.all() or not held_out.any():
        raise InputError(
            f"--data {listed.data.location}: {len(kept)} of its scans can be learned from, {int(held_out.sum())} of "
            "them held out, where at least 2 are needed, one to learn from and one to be held out; add scans"
        )
    numbers = np.unique(writers, return_inverse=True)[1] if writers else np.full(len(kept), digits.UNKNOWN)
    facts = _facts(listed, found, held_out, writers, listed.data.location)
    wrong = _wrong(found, usable["content"].take(kept).to_pylist())
    return Labelled(found, held_out, numbers.astype(np.int16), facts, own, wrong)


def _wrong(found: Digits, contents: Sequence[bytes]) -> frozenset[bytes]:
    wrong = found.take(digits.wrongly_labelled(contents, found.labels))
    return frozenset(image.tobytes() for image in wrong.images)


def _held_out(
    labels: NDArray[np.int8], writers: Sequence[str], parts: Sequence[str], listed: Listed, most: int
) -> NDArray[np.bool_]:
    if parts:
        both = len(set(zip(writers, parts, strict=False))) - len(set(writers))
        if both:
            log.warning("%s %s wrote digits of both parts: the model has seen something of those held out",
                        counted(both, "writer"), listed.where)  # fmt: skip
        return holding_out.by_part(parts)
    if len(set(writers)) > 1:
        return holding_out.by_writer(writers, most)
    if writers:
        log.warning("all scans %s are of one writer: other writers may be read less well than those held out",
                    listed.where)  # fmt: skip
    return holding_out.by_digit(labels, most)


def _facts(
    listed: Listed, found: Digits, held_out: NDArray[np.bool_], writers: Sequence[str], location: str
) -> DataFacts:
    out = {writer for writer, held in zip(writers, held_out.tolist(), strict=False) if held}
    return DataFacts(
        location=location,
        digest=digits.digest(found),
        digits=int((~held_out).sum()),
        held_out=int(held_out.sum()),
        held_out_digest=digits.digest(found.take(held_out)),
        weight=listed.data.weight,
        writers=len(set(writers)) or None,
        held_out_writers=len(out) or None,
        licence=listed.licence,
        source=listed.source,
    )
