"""The digits of a training, dealt out: to each worker its share, and those that are held out."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from mnist_batch.errors import InputError
from mnist_batch.learning import digits, epochs, fine_tuning, labelled
from mnist_batch.wording import counted

EMBEDDED = "embedded MNIST"
BLOCK_SIZE = 5_000
HELD_OUT_SEED = 0  # of its own, so that every seed and every number of workers has the same validation digits


@dataclass(frozen=True)
class Shares:
    """``datasets`` of ``digits.DIGITS`` by name, ``validation`` and ``train-0`` on; ``sizes`` of the latter.

    ``about`` is what model.json says of the digits and what decides the weights; ``scans`` what it says besides of
    a user's own scans, None of MNIST.
    """

    datasets: dict[str, Any]
    sizes: list[int]
    about: dict[str, Any]
    scans: dict[str, Any] | None = None


def embedded(most_held_out: int, workers: int) -> Shares:
    """The training digits of the embedded MNIST, on Ray."""
    import ray.data

    images, labels = digits.mnist("train")
    starts = range(0, len(images), BLOCK_SIZE)
    blocks = [digits.table(images[at : at + BLOCK_SIZE], labels[at : at + BLOCK_SIZE]) for at in starts]
    held_out = min(most_held_out, len(labels) // 6)
    sizes = epochs.share_sizes(len(labels) - held_out, workers)
    cuts = np.cumsum([held_out, *sizes])[:-1].tolist()
    shuffled = ray.data.from_arrow(blocks).materialize().random_shuffle(seed=HELD_OUT_SEED)
    validation, *parts = shuffled.split_at_indices(cuts)
    about = {
        "data": EMBEDDED,
        "data_digest": digits.digest(blocks),
        "digits": len(labels) - held_out,
        "held_out": held_out,
    }
    return Shares(_named(validation, parts), sizes, about)


def own(listed: labelled.Listed, start: fine_tuning.Start | None, most_held_out: int, workers: int) -> Shares:
    """A user's own scans, read on Ray; where a bundle is fine-tuned, digits of MNIST are among those to learn from.

    Raises InputError where there are fewer than workers.
    """
    import ray.data

    read = labelled.read(listed, most_held_out)
    labelled.tell(read, listed.location, start.location if start else None)
    learned = ~read.held_out
    total, mine = len(read.labels), int(learned.sum())
    if mine < workers:
        raise InputError(
            f"--data {listed.location}: {counted(total, 'scan')} can be learned from, {total - mine} of them held out, "
            f"and --workers {workers} cannot share the other {mine}; lower --workers to {mine} or add scans"
        )
    images, labels = read.images[learned], read.labels[learned]
    about = {
        "data": listed.location,
        "data_digest": digits.digest([digits.table(read.images, read.labels)]),
        "digits": mine,
        "held_out": total - mine,
    }
    if start is not None:
        more = fine_tuning.rehearsal(read.images)
        order = np.random.default_rng(HELD_OUT_SEED).permutation(mine + len(more[1]))
        images, labels = np.concatenate([images, more[0]])[order], np.concatenate([labels, more[1]])[order]
        about |= {"rehearsed": len(more[1]), "from": start.told()}
    sizes = epochs.share_sizes(len(labels), workers)
    cuts = np.cumsum([0, *sizes]).tolist()
    parts = [
        ray.data.from_arrow(digits.table(images[first:last], labels[first:last])) for first, last in pairwise(cuts)
    ]
    validation = ray.data.from_arrow(digits.table(read.images[read.held_out], read.labels[read.held_out]))
    return Shares(_named(validation, parts), sizes, about, read.found)


def _named(validation: Any, parts: list[Any]) -> dict[str, Any]:
    return {"validation": validation, **{f"train-{rank}": part for rank, part in enumerate(parts)}}
