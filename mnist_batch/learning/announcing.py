"""What the log says of labelled scans before training begins: how many there are, and what is left out."""

import logging
import posixpath
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from mnist_batch.learning import digits
from mnist_batch.learning.listed import Listed
from mnist_batch.schemas.bundle_facts import OwnScans
from mnist_batch.schemas.tables import CLASSES

log = logging.getLogger(__name__)

FEW = 10  # scans of a digit; fewer are hardly enough to learn it and to hold out one or two
ENOUGH = 5_000  # scans for a model that knows nothing else
NAMED = 3  # scans or folders that a warning names


def report(listed: Sequence[Listed], own: Sequence[OwnScans | None], begun_from: str | None) -> None:
    """Log how many scans of each digit there are, and warn of digits with few scans or none.

    ``own`` are the facts of each ``--data`` in their order, None for MNIST. ``begun_from`` names the bundle that is
    fine-tuned; it is None for a model that knows nothing but these digits.
    """
    teachers = [(digits.EMBEDDED if one.scans is None else one.data.location) for one in listed]
    rehearsed = [begun_from, "MNIST"] if begun_from else []
    for number, (one, facts) in enumerate(zip(listed, own, strict=True)):
        if facts is None:
            continue
        elsewhere = [
            rehearsed
            + [
                name
                for other, (name, theirs) in enumerate(zip(teachers, own, strict=True))
                if other != number and (theirs is None or theirs.learned[digit])
            ]
            for digit in range(CLASSES)
        ]
        _report(one, facts, elsewhere)


def _report(listed: Listed, own: OwnScans, elsewhere: Sequence[Sequence[str]]) -> None:
    """Report the scans of one ``--data``; ``elsewhere`` names what else a digit is known from, for each digit."""
    learned, held_out = (np.array(counts) for counts in (own.learned, own.held_out))
    total = learned + held_out
    counts = [f"{digit}: {total[digit]:,}" for digit in range(CLASSES) if total[digit]]
    missing = [f"0 of digit {digit}" for digit in range(CLASSES) if not total[digit]]
    log.info("%s scans %s: %s", f"{total.sum():,}", listed.where, ", ".join(counts + missing))
    held = ", ".join(f"{digit}: {held_out[digit]:,}" for digit in range(CLASSES) if total[digit])
    log.info("%s are learned from, %s held out: %s", f"{learned.sum():,}", f"{held_out.sum():,}", held)
    if not any(elsewhere) and total.sum() < ENOUGH:
        log.warning("these are few for a model that knows nothing else: --from shipped begins with what the bundle of "
                    "this package knows, and --data mnist adds MNIST")  # fmt: skip
    for digit in range(CLASSES):
        place = listed.data.location if listed.is_file else posixpath.join(listed.data.location, str(digit))
        if not total[digit] and not elsewhere[digit]:
            log.warning("there is no scan of digit %d to learn from: this model will never answer %d; add scans to %s",
                        digit, digit, place)  # fmt: skip
        elif not total[digit]:
            log.warning("there is no scan of digit %d to learn from: all that this model knows of %d comes from %s; "
                        "add scans to %s", digit, digit, " and ".join(elsewhere[digit]), place)  # fmt: skip
        elif total[digit] < FEW:
            log.warning("only %d of digit %d: too few to learn how it is written, or to measure it; add scans to %s",
                        total[digit], digit, place)  # fmt: skip


def left_out(listed: Listed, own: OwnScans, contradicting: pa.Array, unread: pa.Table) -> None:
    """Log which scans are left out, and why: copies, the ``contradicting``, by name, and the pages ``unread``."""
    if own.copies:
        log.info("%d scans %s look exactly like another one: each picture counts once", own.copies, listed.where)
    if own.contradicting:
        log.warning(
            "%d scans %s are left out, since the same picture is labelled as several digits: %s",
            own.contradicting, listed.where, _first(contradicting.to_pylist()),
        )  # fmt: skip
    if len(unread):
        _warn_of_unreadable(unread, listed.where)
    if listed.ignored:
        _warn_of_ignored(listed)


def _warn_of_unreadable(unread: pa.Table, where: str) -> None:
    statuses = Counter(unread["status"].to_pylist())
    counts = ", ".join(f"{count:,} {status}" for status, count in statuses.most_common())
    names = [
        f"{row['scan']} ({row['status']})" for row in unread.slice(0, NAMED + 1).select(["scan", "status"]).to_pylist()
    ]
    log.warning("%s scans %s cannot be learned from and are left out (%s): %s",
                f"{len(unread):,}", where, counts, _first(names))  # fmt: skip


def _warn_of_ignored(listed: Listed) -> None:
    folders = sorted(listed.ignored.items(), key=lambda item: -item[1])
    names = [f"{count:,} in {folder or '.'}/" for folder, count in folders]
    log.warning("%s files %s are ignored, since their folders are not named 0 to 9: %s",
                f"{sum(listed.ignored.values()):,}", listed.where, _first(names))  # fmt: skip


def _first(names: list[str]) -> str:
    shown = ", ".join(ascii(name)[1:-1] for name in names[:NAMED])
    return shown + (", ..." if len(names) > NAMED else "")
