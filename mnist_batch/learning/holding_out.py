"""Which labelled digits are held out: whole writers where they are known, else a sixth of each digit."""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from mnist_batch.schemas.tables import CLASSES

SHARE = 1 / 6
PARTS = (LEARNED, HELD_OUT) = ("train", "calibrate")  # what a column ``part`` may say


def distinct(
    images: NDArray[np.uint8], labels: NDArray[np.int8], known: Collection[bytes] = frozenset()
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each picture that is not ``known``, and all rows whose picture has several labels; both int64.

    A copy could otherwise be learned from and held out at once. The first rows are in the order of the pictures'
    digests, which is as good as a shuffle, and the same wherever the scans are and whatever their names.
    """
    digests = np.array([hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images], "U32")
    _, first, picture = np.unique(digests, return_index=True, return_inverse=True)
    least, most = np.full(len(first), CLASSES), np.full(len(first), -1)
    np.minimum.at(least, picture, labels)
    np.maximum.at(most, picture, labels)
    agree = least == most
    new = np.array([images[row].tobytes() not in known for row in first], bool)
    return first[agree & new], np.flatnonzero(~agree[picture])


def by_digit(labels: NDArray[np.int8], most: int) -> NDArray[np.bool_]:
    """Which of N labels are held out, bool (N,): the first sixth of each digit, or less if that were over ``most``.

    At least one of each digit that has two is held out, and at least one of any two labels or more.
    """
    share = min(SHARE, most / max(1, len(labels)))
    held_out = np.zeros(len(labels), bool)
    for digit in range(CLASSES):
        rows = np.flatnonzero(labels == digit)
        held_out[rows[: max(round(len(rows) * share), int(len(rows) > 1))]] = True
    if not held_out.any():
        held_out[: int(len(labels) > 1)] = True
    return held_out


def by_writer(writers: Sequence[str], most: int) -> NDArray[np.bool_]:
    """Which digits of N ``writers``, two or more different ones, are held out, bool (N,): all or none of a writer's.

    A sixth of the writers is held out, or fewer if their digits were more than ``most``, but at least one. The digests
    of their names decide which, so a writer who is held out stays so while digits of others are added.
    """
    counts = Counter(writers)
    order = sorted(counts, key=lambda writer: hashlib.blake2b(writer.encode(), digest_size=16).digest())
    sums = np.cumsum([counts[writer] for writer in order])
    chosen = {*order[: max(1, min(round(len(order) * SHARE), int((sums <= most).sum())))]}
    return np.array([writer in chosen for writer in writers], bool)


def by_part(parts: Sequence[str]) -> NDArray[np.bool_]:
    """Which of N digits are held out, bool (N,): those whose part is ``calibrate``."""
    return np.array([part == HELD_OUT for part in parts], bool)
