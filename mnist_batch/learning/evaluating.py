"""What a trained model is worth: on the digits held out, on the MNIST test set, and how far to trust its confidence."""

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mnist_batch.learning import digits, validating
from mnist_batch.learning.digits import Digits
from mnist_batch.models import calibrating
from mnist_batch.models.calibrating import Sample
from mnist_batch.models.ladder import Model
from mnist_batch.schemas.bundle_facts import Calibration, MnistTest, Validation
from mnist_batch.schemas.tables import CLASSES


@dataclass(frozen=True)
class Evaluation:
    """What model.json records of a model's answers."""

    validation: Validation
    calibration: Calibration
    test: MnistTest


def evaluate(
    model: Model,
    nets: Sequence[Model],
    held_out: Digits,
    data: str,
    wrongly_labelled: Collection[bytes],
    begun_from: Sequence[Model] = (),
) -> Evaluation:
    """Evaluate a model that averages ``nets``, or is the only one, on digits that were held out.

    ``data`` is where these are from. Calibration leaves out images, as bytes, whose label is known to be wrong: they
    certify no error. ``begun_from`` are the nets that a fine-tuning began with.
    """
    outputs = outputs_of(model, held_out.images)
    trusted = np.array([image.tobytes() not in wrongly_labelled for image in held_out.images])
    calibration = calibrating.calibrate({data: Sample.of(outputs[trusted], held_out.labels[trusted])})
    [only] = calibration.sets
    named = replace(only, wrongly_labelled=int((~trusted).sum()))
    calibration = replace(calibration, sets=(named,), made=datetime.date.today().isoformat())
    validation = validating.validate(outputs, held_out.labels)
    if begun_from:
        before = np.mean([outputs_of(net, held_out.images) for net in begun_from], axis=0)
        whole = replace(validating.validate(before, held_out.labels), per_class=())
        validation = replace(validation, before=whole)
    return Evaluation(validation, calibration, _test(nets, calibration.temperature))


def outputs_of(model: Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A model's outputs for images uint8 (N, 28, 28), float32 (N, K)."""
    return np.asarray(model.predict(images, batch_size=1000, verbose=0))


def _test(nets: Sequence[Model], temperature: float) -> MnistTest:
    images, labels = digits.mnist("test")
    outputs = [outputs_of(net, images) for net in nets]
    mean = np.mean(outputs, axis=0)
    confidence = calibrating.tempered(mean, temperature).max(axis=1)
    correct = mean[:, :CLASSES].argmax(axis=1) == labels
    return MnistTest(
        accuracy=float(correct.mean()),
        digits=len(labels),
        members=tuple(float((own[:, :CLASSES].argmax(axis=1) == labels).mean()) for own in outputs),
        expected_calibration_error=calibrating.expected_calibration_error(confidence, correct),
    )
