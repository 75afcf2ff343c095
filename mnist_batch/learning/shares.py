"""The digits of a training, dealt out by rank: to each worker those it learns from and those it validates on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from mnist_batch.errors import InputError
from mnist_batch.learning import digits, epochs, fine_tuning, lessons
from mnist_batch.learning.digits import Mixture
from mnist_batch.learning.labelled import HELD_OUT_SEED, Labelled
from mnist_batch.schemas.bundle_facts import DatasetFacts, OwnScans
from mnist_batch.wording import counted


@dataclass(frozen=True)
class Shares:
    """A dataset of ``digits.SCHEMA`` for each rank to learn from, and one to validate on, by name in rank order.

    ``weights`` are those of the data sets, by number; digits of MNIST that a fine-tuning rehearses are one more.
    ``sizes`` counts the digits that a lesson draws from each training share. ``scans`` is what model.json records of a
    user's own scans. ``wrongly_labelled`` are the images, as bytes, whose label is known to be wrong.
    """

    training: dict[str, Any]
    validation: dict[str, Any]
    weights: tuple[float, ...]
    sizes: list[int]
    facts: DatasetFacts
    scans: Mapping[str, OwnScans] = field(default_factory=dict)
    wrongly_labelled: frozenset[bytes] = frozenset()


def deal(data: Sequence[Labelled], start: fine_tuning.Start | None, workers: int) -> Shares:
    """Put digits on Ray; where a bundle is fine-tuned without MNIST, mix digits of MNIST into those to learn from.

    Raises InputError if there are fewer digits to learn from than workers.
    """
    facts = _facts(data, start, workers)
    learned = [one.digits.take(~one.held_out) for one in data]
    weights = [one.facts.weight for one in data]
    if start is not None and all(one.scans for one in data):
        learned.append(fine_tuning.rehearsal(np.concatenate([one.digits.images for one in data])))
        weights.append(1.0)
        facts = replace(facts, rehearsed=len(learned[-1].labels))
    training = digits.mixed(learned)
    held_out = [one.digits.take(one.held_out) for one in data]
    validation = digits.mixed(held_out, [one.writers[one.held_out] for one in data])
    if len(learned) > 1:
        training = training.take(np.random.default_rng(HELD_OUT_SEED).permutation(len(training.data)))
    parts = [*_parts(training, workers)]
    return Shares(
        _on_ray("training", parts),
        _on_ray("validation", _parts(validation, workers)),
        tuple(weights),
        [lessons.drawn_size(part.data, weights) for part in parts],
        facts,
        {one.facts.location: one.scans for one in data if one.scans},
        frozenset[bytes]().union(*(one.wrongly_labelled for one in data)),
    )


def _facts(data: Sequence[Labelled], start: fine_tuning.Start | None, workers: int) -> DatasetFacts:
    learned, held_out = (sum(getattr(one.facts, name) for one in data) for name in ("digits", "held_out"))
    if learned < workers:
        raise InputError(
            f"--data {', '.join(one.facts.location for one in data)}: {counted(learned + held_out, 'scan')} can be "
            f"learned from, {held_out} of them held out, and --workers {workers} cannot share the other {learned}; "
            f"lower --workers to {learned} or add scans"
        )
    return DatasetFacts(
        data=tuple(one.facts for one in data),
        digits=learned,
        held_out=held_out,
        begun_from=start.recorded() if start else None,
    )


def _parts(whole: Mixture, workers: int) -> Iterator[Mixture]:
    cuts = np.cumsum([0, *epochs.share_sizes(len(whole.data), workers)]).tolist()
    for first, last in pairwise(cuts):
        yield whole.take(np.arange(first, last))


def _on_ray(kind: str, parts: Iterable[Mixture]) -> dict[str, Any]:
    import ray.data

    return {f"{kind}-{rank}": ray.data.from_arrow(digits.table(part)) for rank, part in enumerate(parts)}
