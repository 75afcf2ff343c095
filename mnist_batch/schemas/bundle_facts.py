"""What ``model.json`` records of a bundle, as dataclasses; ``facts.as_json`` writes them, ``read`` reads them back.

``FORMAT`` grows when a field is added, dropped or changes its meaning.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from mnist_batch.schemas import facts
from mnist_batch.schemas.facts import Beta
from mnist_batch.schemas.likeness_facts import Profile

FORMAT = 5
HELD_OUT = "the digits held out in training"  # the name of a set where a bundle does not say what it was trained on


@dataclass(frozen=True)
class Threshold:
    """What a threshold of confidence accepts of the validation digits, how many of these are wrong, and the bound."""

    threshold: float
    accepted: int
    errors: int
    error_bound: float


@dataclass(frozen=True)
class CalibrationSet:
    """A set of labelled answers that certifies errors by ``thresholds``, from the strictest to the laxest.

    ``name`` says where they are from. ``wrongly_labelled`` were left out of its ``digits``, since their label is known
    to be wrong. ``profile`` is what a run is compared with; None where it is not known.
    """

    name: str
    digits: int
    thresholds: tuple[Threshold, ...]
    wrongly_labelled: int = 0
    profile: Profile | None = None


@dataclass(frozen=True)
class OwnLabels:
    """The labelled answers of a run that a bundle was calibrated on; ``answers`` is their digest.

    ``labels`` is where the labels are from. Of the answers, ``none`` are labelled as no valid digit, and
    ``never_accepted`` are not accepted however sure they are. ``copies`` of the same scan were left out. ``absent`` are
    the digits that are no label.
    """

    run_id: str
    labels: str
    answers: str
    none: int
    never_accepted: int
    copies: int
    absent: tuple[int, ...] = ()


@dataclass(frozen=True)
class Calibration:
    """What labelled answers say of a model's confidence; ``level`` is the certainty of the bounds.

    The temperature is fitted on all ``sets`` with equal weight a set; an error is certified if every set certifies it.
    ``made`` is the date of the calibration. One by a user's ``own`` labels also has a map ``beta``, and may have sets
    ``by_source``, whose names are the sources that they are for, a set of ``fields``, whole numbers on forms, and
    ``fields_by_source``.
    """

    temperature: float
    level: float
    expected_calibration_error: float
    sets: tuple[CalibrationSet, ...]
    made: str | None = None
    beta: Beta | None = None
    own: OwnLabels | None = None
    by_source: tuple[CalibrationSet, ...] = ()
    fields: CalibrationSet | None = None
    fields_by_source: tuple[CalibrationSet, ...] = ()

    @property
    def digits(self) -> int:
        """The labelled answers of all sets."""
        return sum(each.digits for each in self.sets)

    @property
    def wrongly_labelled(self) -> int:
        """The digits that were left out of all sets."""
        return sum(each.wrongly_labelled for each in self.sets)


@dataclass(frozen=True)
class DigitValidation:
    """How one digit is read among those held out; a rate is None where there is nothing to divide by.

    ``low`` and ``high`` are the ends of the 95 % Wilson interval of ``recall``.
    """

    digit: int
    digits: int
    correct: int
    refused: int
    precision: float | None
    recall: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Validation:
    """How the digits held out are read; ``before`` is the same by the bundle that a fine-tuning began with.

    ``by_data`` has the same for each data set, by its location, if there are several. ``low`` and ``high`` are the ends
    of the 95 % interval of ``accuracy``: Wilson's, or the bootstrap over its ``writers`` where two or more are known. A
    bundle of format 1 may have only ``digits`` and ``accuracy``.
    """

    digits: int
    accuracy: float
    correct: int | None = None
    refused: int | None = None
    low: float | None = None
    high: float | None = None
    writers: int | None = None
    per_class: tuple[DigitValidation, ...] = ()
    before: "Validation | None" = None
    by_data: dict[str, "Validation"] = field(default_factory=dict)


@dataclass(frozen=True)
class MnistTest:
    """The accuracy on the MNIST test set, of the model and of each of its nets.

    ``first_alone`` is the share that its first net answered alone.
    """

    accuracy: float
    digits: int = 0
    members: tuple[float, ...] = ()
    expected_calibration_error: float | None = None
    first_alone: float = 0.0
    data: str = "MNIST test"


@dataclass(frozen=True)
class BegunFrom:
    """The bundle that a fine-tuning began with, the digest of its two models and that of its weights."""

    bundle: str
    digest: str
    weights: str


@dataclass(frozen=True)
class DataFacts:
    """One data set of a training: its ``location`` as it was given, and the digest of the digits that were used.

    ``digits`` are learned from, each ``weight`` times an epoch; ``held_out`` are not. ``writers`` and ``licence`` are
    None where they are not known; of the writers, ``held_out_writers`` are among the digits held out.
    """

    location: str
    digest: str
    digits: int
    held_out: int
    held_out_digest: str | None = None
    weight: float = 1
    writers: int | None = None
    held_out_writers: int | None = None
    licence: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class DatasetFacts:
    """The digits of a training, as far as they decide its weights: those of each data set, and their sums.

    A fine-tuning without MNIST among its data also learns from ``rehearsed`` digits of it, and begins with the bundle
    ``begun_from``.
    """

    data: tuple[DataFacts, ...]
    digits: int
    held_out: int
    rehearsed: int | None = None
    begun_from: BegunFrom | None = None


@dataclass(frozen=True, kw_only=True)
class Training(DatasetFacts):
    """On what a model was trained, and how; ``members`` are its nets, ``seeds`` those of the ones that were trained."""

    model: str
    epochs: int
    batch_size: int
    workers: int
    seed: int
    precision: str
    hold_out: int | None = None
    only_first: bool = False
    seeds: tuple[int, ...]
    members: tuple[str, ...]


@dataclass(frozen=True)
class OwnScans:
    """The user's own scans of a data set: of each digit how many were learned from and held out; what was left out.

    ``ignored`` counts the files in folders that are no digit, by folder.
    """

    learned: tuple[int, ...]
    held_out: tuple[int, ...]
    copies: int
    contradicting: int
    unreadable: dict[str, int]
    ignored: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class BundleFacts:
    """All of ``model.json``; ``sha256`` has the digests of both model files. What a bundle does not say is None.

    ``scans`` are those of each data set but MNIST, by its location. ``first_calibration`` is that of the answers where
    the first net is asked before the others, ``calibration`` that of the answers of the others alone.
    """

    architecture: str
    test: MnistTest
    sha256: dict[str, str] = field(default_factory=dict)
    calibration: Calibration | None = None
    first_calibration: Calibration | None = None
    validation: Validation | None = None
    training: Training | None = None
    scans: dict[str, OwnScans] = field(default_factory=dict)
    command: str | None = None
    parameters: int | None = None
    weights: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def calibrations(self) -> tuple[Calibration, ...]:
        """Those that there are: of all nets, then of the first net and the others."""
        return tuple(each for each in (self.calibration, self.first_calibration) if each)

    def calibration_where(self, asks_first: bool) -> Calibration | None:
        """The calibration of the answers that are given where the first net is asked first, or is not."""
        return self.first_calibration if asks_first and self.first_calibration else self.calibration


def read(content: bytes) -> BundleFacts:
    """Read ``model.json``; ValueError, with a sentence, where it is damaged or of a format that is not read."""
    recorded = json.loads(content)
    if isinstance(recorded, dict):
        recorded = _upgraded(recorded)
    return facts.validated(BundleFacts, recorded)


def _upgraded(recorded: dict[str, Any]) -> dict[str, Any]:
    written = recorded.get("format")
    if written not in range(1, FORMAT + 1):
        raise ValueError(f"the bundle has format {written!r}, but this version reads 1 to {FORMAT}")
    training, calibration = recorded.get("training"), recorded.get("calibration")
    if written == 1 and isinstance(training, dict):
        training = training | {"begun_from": training.get("from")}
    if written in (1, 2) and isinstance(calibration, dict):  # of a single set, which had no name
        name = training.get("data", HELD_OUT) if isinstance(training, dict) else HELD_OUT
        of_set = {item: calibration[item] for item in CalibrationSet.__dataclass_fields__ if item in calibration}
        recorded = recorded | {"calibration": calibration | {"sets": [{"name": name, **of_set}]}}
    if written in (1, 2) and isinstance(training, dict):  # on a single data set
        one = {name: training.get(name) for name in ("digits", "held_out")}
        location, scans = training.get("data"), recorded.get("scans")
        data = [one | {"location": location, "digest": training.get("data_digest")}]
        recorded = recorded | {"training": training | {"data": data}, "scans": {location: scans} if scans else {}}
    return recorded | {"format": FORMAT}
