"""A user's own labelled scans to train on: which there are, which can be read, which are held out."""

import hashlib
import logging
import posixpath
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mnist_batch.errors import InputError
from mnist_batch.intake import listing, scans
from mnist_batch.intake.labels import parent_labels
from mnist_batch.learning.digits import Digits
from mnist_batch.models import answers
from mnist_batch.reading import isolated
from mnist_batch.schemas import tables
from mnist_batch.schemas.bundle_facts import OwnScans
from mnist_batch.schemas.tables import CLASSES
from mnist_batch.statuses import Status
from mnist_batch.store import locations

log = logging.getLogger(__name__)

FEW = 10  # scans of a digit; fewer are hardly enough to learn it and to hold out one or two
ENOUGH = 5_000  # scans for a model that knows nothing else
NAMED = 3  # scans or folders that a warning names
HELD_OUT_SHARE = 1 / 6


@dataclass(frozen=True)
class Listed:
    """The labelled scans of a folder before any is opened, as ``tables.MANIFEST``.

    ``ignored`` counts the other files of each folder, by its path below ``location``: their folder is no digit.
    """

    location: str
    manifest: pa.Table
    ignored: dict[str, int]


@dataclass(frozen=True)
class Scans:
    """Scans that were read, each picture once, ordered by the digests of their pictures.

    ``held_out``, bool (N,), says which of the ``digits`` are held out. ``facts`` is what model.json records of the
    scans.
    """

    digits: Digits
    held_out: NDArray[np.bool_]
    facts: OwnScans


def list_scans(data: str) -> Listed:
    """List the scans of a folder that are in folders named 0 to 9; opens none and needs no Ray.

    Raises InputError if the folder does not exist or holds none.
    """
    everything = listing.list_scans([data], "--data")
    labels = parent_labels(everything)
    everything = everything.set_column(everything.schema.get_field_index("label"), "label", labels)
    labelled = pc.is_valid(labels)
    manifest = everything.filter(labelled).cast(tables.MANIFEST)
    if not manifest.num_rows:
        raise InputError(
            f"--data {data}: holds no scan in a folder named 0 to 9, so there is nothing to learn; put each scan into "
            f"a folder named by its digit, such as {posixpath.join(data, '7', 'scan.png')}"
        )
    others = everything.filter(pc.invert(labelled))["scan"].to_pylist()
    return Listed(locations.absolute(data), manifest, dict(Counter(posixpath.dirname(scan) for scan in others)))


def read(listed: Listed, most_held_out: int) -> Scans:
    """Read and normalise the scans on Ray, just as in scoring, and hold out at most about ``most_held_out``.

    Scans that cannot be learned from are left out with a warning that names the first few. Raises InputError if fewer
    than two pictures are left.
    """
    import ray.data

    shards = scans.cut(listed.manifest)
    actors = min(len(shards), max(1, int(ray.cluster_resources().get("CPU", 1))))
    rows = ray.data.from_arrow(shards).map_batches(
        ReadScans, batch_size=None, batch_format="pyarrow", compute=ray.data.ActorPoolStrategy(size=actors)
    )
    wanted = ["scan", "label", "status", "picture"]
    blocks = [block.select(wanted) for block in rows.iter_batches(batch_size=None, batch_format="pyarrow")]
    pages = pa.concat_tables(blocks).sort_by("scan").combine_chunks()
    return sort_out(pages, listed, most_held_out)


class ReadScans:
    """An actor that reads shards of scans, ``tables.MANIFEST``, all with one reading process."""

    def __init__(self) -> None:
        self.reader = isolated.Reader()

    def __call__(self, manifest: pa.Table) -> pa.Table:
        """One row a page, ``tables.PREPROCESSED``."""
        return self.reader.read(manifest)


def sort_out(pages: pa.Table, listed: Listed, most_held_out: int) -> Scans:
    """Decide which of the pages read (columns scan, label, status, picture) are learned from and held out."""
    ok = pc.equal(pages["status"], Status.OK)
    unread, usable = pages.filter(pc.invert(ok)), pages.filter(ok).combine_chunks()
    images, labels, names = answers.images_of(usable), usable["label"].to_numpy(), usable["scan"]
    kept, contradicting = distinct(images, labels)
    images, labels = images[kept], labels[kept]
    held_out = hold_out(labels, most_held_out)
    facts = OwnScans(
        learned=tuple(np.bincount(labels[~held_out], minlength=CLASSES).tolist()),
        held_out=tuple(np.bincount(labels[held_out], minlength=CLASSES).tolist()),
        copies=len(usable) - len(kept) - len(contradicting),
        contradicting=len(contradicting),
        unreadable=dict(Counter(unread["status"].to_pylist())),
        ignored=listed.ignored,
    )
    if facts.copies:
        log.info("%d scans under %s look exactly like another one: each picture counts once",
                 facts.copies, listed.location)  # fmt: skip
    if len(contradicting):
        log.warning(
            "%d scans under %s are left out, since the same picture is in the folders of several digits: %s",
            len(contradicting), listed.location, _first(names.take(pa.array(contradicting)).to_pylist()),
        )  # fmt: skip
    if len(unread):
        _warn_of_unreadable(unread, listed.location)
    if listed.ignored:
        _warn_of_ignored(listed)
    if len(kept) < 2:
        raise InputError(
            f"--data {listed.location}: {len(kept)} of its scans can be learned from, where at least 2 are needed, one "
            "of them to be held out; add scans"
        )
    return Scans(Digits(images, labels), held_out, facts)


def distinct(images: NDArray[np.uint8], labels: NDArray[np.int8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each picture, and all rows whose picture has several labels; both int64.

    A copy could otherwise be learned from and held out at once. The first rows are in the order of the pictures'
    digests, which is as good as a shuffle, and the same wherever the scans are and whatever their names.
    """
    digests = np.array([hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images], "U32")
    _, first, picture = np.unique(digests, return_index=True, return_inverse=True)
    least, most = np.full(len(first), CLASSES), np.full(len(first), -1)
    np.minimum.at(least, picture, labels)
    np.maximum.at(most, picture, labels)
    agree = least == most
    return first[agree], np.flatnonzero(~agree[picture])


def hold_out(labels: NDArray[np.int8], most: int) -> NDArray[np.bool_]:
    """Which of N labels are held out, bool (N,): the first sixth of each digit, or less if that were over ``most``.

    At least one of each digit that has two is held out, and at least one of any two labels or more.
    """
    share = min(HELD_OUT_SHARE, most / max(1, len(labels)))
    held_out = np.zeros(len(labels), bool)
    for digit in range(CLASSES):
        rows = np.flatnonzero(labels == digit)
        held_out[rows[: max(round(len(rows) * share), int(len(rows) > 1))]] = True
    if not held_out.any():
        held_out[: int(len(labels) > 1)] = True
    return held_out


def report(read: Scans, location: str, begun_from: str | None) -> None:
    """Log how many scans of each digit there are, and warn of digits with few scans or none.

    ``begun_from`` names the bundle that is fine-tuned; it is None for a model that knows nothing but these scans.
    """
    learned, held_out = (np.array(counts) for counts in (read.facts.learned, read.facts.held_out))
    total = learned + held_out
    counts = [f"{digit}: {total[digit]:,}" for digit in range(CLASSES) if total[digit]]
    missing = [f"0 of digit {digit}" for digit in range(CLASSES) if not total[digit]]
    log.info("%s scans: %s", f"{total.sum():,}", ", ".join(counts + missing))
    held = ", ".join(f"{digit}: {held_out[digit]:,}" for digit in range(CLASSES) if total[digit])
    log.info("%s are learned from, %s held out: %s", f"{learned.sum():,}", f"{held_out.sum():,}", held)
    if begun_from is None and total.sum() < ENOUGH:
        log.warning("these are few for a model that knows nothing else: --from shipped begins with what the bundle of "
                    "this package knows")  # fmt: skip
    for digit in range(CLASSES):
        place = f"{location}/{digit}"
        if not total[digit] and begun_from is None:
            log.warning("there is no scan of digit %d to learn from: this model will never answer %d; add scans to %s",
                        digit, digit, place)  # fmt: skip
        elif not total[digit]:
            log.warning("there is no scan of digit %d to learn from: all that this model knows of %d comes from %s and "
                        "MNIST; add scans to %s", digit, digit, begun_from, place)  # fmt: skip
        elif total[digit] < FEW:
            log.warning("only %d of digit %d: too few to learn how it is written, or to measure it; add scans to %s",
                        total[digit], digit, place)  # fmt: skip


def _warn_of_unreadable(unread: pa.Table, location: str) -> None:
    statuses = Counter(unread["status"].to_pylist())
    listed = ", ".join(f"{count:,} {status}" for status, count in statuses.most_common())
    names = [
        f"{row['scan']} ({row['status']})" for row in unread.slice(0, NAMED + 1).select(["scan", "status"]).to_pylist()
    ]
    log.warning("%s scans under %s cannot be learned from and are left out (%s): %s",
                f"{len(unread):,}", location, listed, _first(names))  # fmt: skip


def _warn_of_ignored(listed: Listed) -> None:
    folders = sorted(listed.ignored.items(), key=lambda item: -item[1])
    names = [f"{count:,} in {folder or '.'}/" for folder, count in folders]
    log.warning("%s files under %s are ignored, since their folders are not named 0 to 9: %s",
                f"{sum(listed.ignored.values()):,}", listed.location, _first(names))  # fmt: skip


def _first(names: list[str]) -> str:
    shown = ", ".join(ascii(name)[1:-1] for name in names[:NAMED])
    return shown + (", ..." if len(names) > NAMED else "")
