"""The digits of a training, dealt out by rank: to each worker those it learns from and those it validates on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from mnist_batch.errors import InputError
from mnist_batch.learning import digits, epochs, fine_tuning, labelled
from mnist_batch.learning.digits import Digits
from mnist_batch.schemas.bundle_facts import DatasetFacts, OwnScans
from mnist_batch.wording import counted

BLOCK_SIZE = 5_000
HELD_OUT_SEED = 0  # not the recipe's, so that every seed and number of workers has the same validation digits


@dataclass(frozen=True)
class Shares:
    """A dataset of ``digits.SCHEMA`` for each rank to learn from, and one to validate on, by name in rank order.

    ``sizes`` counts the digits of each training share. ``wrongly_labelled`` are images among them, as bytes, whose
    label is known to be wrong. ``scans`` is what model.json records of a user's own scans, None for MNIST.
    """

    training: dict[str, Any]
    validation: dict[str, Any]
    sizes: list[int]
    facts: DatasetFacts
    wrongly_labelled: frozenset[bytes] = frozenset()
    scans: OwnScans | None = None


def embedded(most_held_out: int, workers: int) -> Shares:
    """Put the training digits of the embedded MNIST on Ray; hold out ``most_held_out``, or a sixth if that is less."""
    import ray.data

    mnist = digits.mnist("train")
    held_out = min(most_held_out, len(mnist.labels) // 6)
    facts = DatasetFacts(digits.EMBEDDED, digits.digest(mnist), len(mnist.labels) - held_out, held_out)
    wrong = digits.wrongly_labelled(mnist)
    starts = range(0, len(mnist.labels), BLOCK_SIZE)
    blocks = [digits.table(mnist.images[at : at + BLOCK_SIZE], mnist.labels[at : at + BLOCK_SIZE]) for at in starts]
    shuffled = ray.data.from_arrow(blocks).random_shuffle(seed=HELD_OUT_SEED)
    sizes = epochs.share_sizes(facts.digits, workers)
    cuts = np.cumsum([*epochs.share_sizes(held_out, workers), *sizes])[:-1].tolist()
    parts = shuffled.split_at_indices(cuts)
    return Shares(_named("training", parts[workers:]), _named("validation", parts[:workers]), sizes, facts, wrong)


def own(listed: labelled.Listed, start: fine_tuning.Start | None, most_held_out: int, workers: int) -> Shares:
    """Read a user's own scans on Ray; where a bundle is fine-tuned, mix digits of MNIST into those to learn from.

    Raises InputError if there are fewer scans to learn from than workers.
    """
    scans = labelled.read(listed, most_held_out)
    labelled.report(scans, listed.location, start.location if start else None)
    total, learned = len(scans.digits.labels), int((~scans.held_out).sum())
    if learned < workers:
        raise InputError(
            f"--data {listed.location}: {counted(total, 'scan')} can be learned from, {total - learned} of them held "
            f"out, and --workers {workers} cannot share the other {learned}; lower --workers to {learned} or add scans"
        )
    training, validation = scans.digits.take(~scans.held_out), scans.digits.take(scans.held_out)
    rehearsed = None
    if start is not None:
        rehearsal = fine_tuning.rehearsal(scans.digits.images)
        rehearsed = len(rehearsal.labels)
        order = np.random.default_rng(HELD_OUT_SEED).permutation(learned + rehearsed)
        images, labels = (np.concatenate(both) for both in zip(training, rehearsal, strict=True))
        training = Digits(images, labels).take(order)
    facts = DatasetFacts(
        data=listed.location,
        data_digest=digits.digest(scans.digits),
        digits=learned,
        held_out=total - learned,
        rehearsed=rehearsed,
        begun_from=start.recorded() if start else None,
    )
    return Shares(
        _named("training", _dealt(training, workers)),
        _named("validation", _dealt(validation, workers)),
        epochs.share_sizes(len(training.labels), workers),
        facts,
        scans=scans.facts,
    )


def _dealt(whole: Digits, workers: int) -> Iterator[Any]:
    import ray.data

    cuts = np.cumsum([0, *epochs.share_sizes(len(whole.labels), workers)]).tolist()
    for first, last in pairwise(cuts):
        yield ray.data.from_arrow(digits.table(whole.images[first:last], whole.labels[first:last]))


def _named(kind: str, datasets: Iterator[Any] | Sequence[Any]) -> dict[str, Any]:
    return {f"{kind}-{rank}": dataset for rank, dataset in enumerate(datasets)}
