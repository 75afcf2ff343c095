"""What a trained model is worth: on the digits held out, on the MNIST test set, and how far to trust its confidence."""

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch.learning import digits, validating
from mnist_batch.learning.digits import Mixture
from mnist_batch.models import calibrating, engines, ladder, likeness
from mnist_batch.models.answers import answers_of
from mnist_batch.models.calibrating import Sample
from mnist_batch.models.ladder import Model
from mnist_batch.schemas.bundle_facts import Calibration, DataFacts, MnistTest, Validation
from mnist_batch.schemas.tables import CLASSES
from mnist_batch.wording import counted


@dataclass(frozen=True)
class Evaluation:
    """What model.json records of a model's answers."""

    validation: Validation
    calibration: Calibration
    first_calibration: Calibration | None
    test: MnistTest


def evaluate(
    name: str,
    nets: Sequence[Model],
    held_out: Mixture,
    data: Sequence[DataFacts],
    wrongly_labelled: Collection[bytes],
    begun_from: Sequence[Model] = (),
) -> Evaluation:
    """Evaluate the model of this ``name``, which consists of ``nets``, on digits that were held out.

    ``data`` are the data sets of ``held_out``, by number. Calibration leaves out images, as bytes, whose label is known
    to be wrong: they certify no error. ``begun_from`` are the nets that a fine-tuning began with.
    """
    images, labels = held_out.digits
    of_each = [outputs_of(net, images) for net in nets]
    outputs = _combined(name, of_each).values
    before = _combined(name, [outputs_of(net, images) for net in begun_from]).values if begun_from else None
    by_data = {
        one.location: _validation(outputs, before, held_out, held_out.data == number) for number, one in enumerate(data)
    }
    [validation, *others] = by_data.values()
    if others:
        whole = held_out._replace(writers=np.full(len(labels), digits.UNKNOWN, np.int16))
        validation = replace(_validation(outputs, before, whole, np.full(len(labels), True)), by_data=by_data)
    wrong = np.array([image.tobytes() in wrongly_labelled for image in images])
    first = _calibration(held_out, outputs, wrong, names_of(data))
    if not ladder.LADDER[name].first:
        return Evaluation(validation, first, None, _test(name, nets, first.temperature))
    without_first = _calibration(held_out, np.mean(of_each[:-1], axis=0), wrong, names_of(data))
    return Evaluation(validation, without_first, first, _test(name, nets, first.temperature))


def _calibration(
    held_out: Mixture, outputs: NDArray[Any], wrong: NDArray[np.bool_], names: Sequence[str]
) -> Calibration:
    """The calibration by the held-out digits of each data set, a set of their own, without those labelled ``wrong``."""
    images, labels = held_out.digits
    rows = {name: held_out.data == number for number, name in enumerate(names)}
    samples = {name: Sample.of(outputs[of & ~wrong], labels[of & ~wrong]) for name, of in rows.items()}
    calibration = calibrating.calibrate(samples)
    sets = []
    for each in calibration.sets:
        of = rows[each.name] & ~wrong
        answers = answers_of(images[of], outputs[of], calibration.temperature)
        left_out = int((rows[each.name] & wrong).sum())
        sets.append(replace(each, wrongly_labelled=left_out, profile=likeness.profile_of(images[of], answers)))
    return replace(calibration, sets=tuple(sets), made=datetime.date.today().isoformat())


def names_of(data: Sequence[DataFacts]) -> list[str]:
    """What a calibration calls the data sets: the writers held out and the source of each, as far as they are known.

    Their locations if two would have the same name.
    """
    names = [_name(one) for one in data]
    return names if len({*names}) == len(names) else [one.location for one in data]


def _name(data: DataFacts) -> str:
    source = data.source or data.location
    return f"{counted(data.held_out_writers, 'writer')} of {source}" if data.held_out_writers else source


def _validation(
    outputs: NDArray[Any], before: NDArray[Any] | None, held_out: Mixture, rows: NDArray[np.bool_]
) -> Validation:
    labels, writers = held_out.digits.labels[rows], held_out.writers[rows]
    found = validating.validate(outputs[rows], labels, writers)
    if before is None:
        return found
    return replace(found, before=replace(validating.validate(before[rows], labels, writers), per_class=()))


def outputs_of(model: Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A model's outputs for images uint8 (N, 28, 28), float32 (N, K)."""
    return np.asarray(model.predict(images, batch_size=1000, verbose=0))


def _combined(name: str, outputs: Sequence[NDArray[np.float32]]) -> engines.Outputs:
    """The outputs of a model of the ladder, from those of its nets in the order of ``nets_of``; the last may lack."""
    members = len(ladder.LADDER[name].members) or 1
    return engines.combined(np.mean(outputs[:members], axis=0), *outputs[members:])


def _test(name: str, nets: Sequence[Model], temperature: float) -> MnistTest:
    images, labels = digits.mnist("test")
    outputs = [outputs_of(net, images) for net in nets]
    values, alone = _combined(name, outputs)
    confidence = calibrating.tempered(values, temperature).max(axis=1)
    correct = values[:, :CLASSES].argmax(axis=1) == labels
    return MnistTest(
        accuracy=float(correct.mean()),
        digits=len(labels),
        first_alone=float(alone.mean()),
        members=tuple(float((own[:, :CLASSES].argmax(axis=1) == labels).mean()) for own in outputs),
        expected_calibration_error=calibrating.expected_calibration_error(confidence, correct),
    )
