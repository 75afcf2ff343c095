"""The facts of a run, as dataclasses and as JSON: ``opened.json``, ``refused.json``, ``run.json`` and receipts.

``as_json`` writes them and ``from_json`` reads them back equal. ``FORMAT`` grows when a field is added, dropped or
changes its meaning; a file of an older format is read by ``_upgraded``, or refused.
"""

import json
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, TypeVar

from mnist_batch.schemas.drift_facts import Alert, Drift
from mnist_batch.schemas.likeness_facts import Judgement, Likeness, Profile
from mnist_batch.statuses import SAME, Status

FORMAT = 5

Facts = TypeVar("Facts")


@dataclass(frozen=True)
class ModelFacts:
    """The bundle of a run: its location, its digest, its architecture, and its accuracy on the MNIST test set.

    ``promoted_at`` is when it was made the current one, of a run that followed that; None of one that named its model.
    """

    location: str
    digest: str
    architecture: str
    test_accuracy: float
    promoted_at: str | None = None


@dataclass(frozen=True)
class FormFacts:
    """A form of a run: where its directory is, its name and version, and the digest of its files.

    ``most_digits`` is how many its longest field may have; None where an older version opened the run.
    """

    location: str
    name: str
    version: str | None
    digest: str
    most_digits: int | None = None


@dataclass(frozen=True)
class LimitFacts:
    """The limits of a scan; the timeout decides no answer, and is None until the run is scored."""

    max_bytes: int
    max_pixels: int
    scan_timeout_seconds: float | None = None


@dataclass(frozen=True)
class Beta:
    """A map from the probability of an answer to its confidence; ``models.beta`` says how."""

    a: float
    b: float
    c: float


@dataclass(frozen=True)
class FieldThresholds:
    """What a number in a field of a form has to reach to be accepted; ``models.field_rule`` says how it is made.

    ``number`` is the lowest confidence of the whole number, None where nothing is certified; sources in ``by_source``
    have their own. Where the calibration is of digits, ``digits`` are the lowest confidence of each digit in a number
    of 1, 2, ... digits, None where none is certified, and ``spoken_for`` the same for numbers that a check digit or an
    equation speaks for.
    """

    number: float | None
    digits: tuple[float | None, ...] | None = None
    spoken_for: tuple[float | None, ...] | None = None
    by_source: dict[str, float | None] | None = None


@dataclass(frozen=True)
class CalibratedOn:
    """What a model was calibrated on: how many labelled answers of each set, by its name; and the date.

    ``own`` says whether one of the sets is of a user's own scans.
    """

    sets: dict[str, int]
    made: str | None
    own: bool


@dataclass(frozen=True, kw_only=True)
class Increment:
    """What a night listed, and what of it was new, in scans.

    ``known`` are the scans whose path, size and time of change a published run has; of these ``former`` were answered
    by another model or with other settings. ``held`` are in a run that failed a gate. The rest are the rows of the
    night's run: ``moved`` have the bytes of a scan of an earlier run, ``repeated`` those of an earlier scan of this
    one, and ``scored`` are all others.
    """

    listed: int
    known: int
    former: int
    held: int
    moved: int
    repeated: int
    scored: int


@dataclass(frozen=True)
class Gate:
    """A bound that a run must keep before it is published, by the name of its flag, and what the run has.

    ``value`` was counted from ``of`` rows; with labels, ``limit`` is the end of the value's exact interval that is
    compared with the bound. ``kept`` is None where the run has no labels to tell.
    """

    name: str
    bound: float
    value: float | None
    limit: float | None
    of: int
    kept: bool | None


@dataclass(frozen=True)
class File:
    """A published file: its path below OUT, its size, its BLAKE2b-128 in hex, and the rows of a Parquet file."""

    path: str
    bytes: int
    blake2b: str
    rows: int | None = None


@dataclass(frozen=True)
class FormerReport:
    """A report of a run that a later one replaced, since its labels are others: its files, and what it said.

    ``labels`` is where its labels came from, None for those of the run itself.
    """

    number: int
    labels: str | None
    labelled: int
    accuracy: float | None
    replaced_at: str
    files: tuple[File, ...]


@dataclass(frozen=True)
class Held:
    """``held.json``, of a run that failed a gate and is not published: its gates, and the settings it is counted by.

    ``alerts`` are the metrics that drift.
    """

    gates: tuple[Gate, ...]
    max_unreadable: float
    held_at: str
    alerts: tuple[Alert, ...] = ()


@dataclass(frozen=True)
class Anyway:
    """A person's decision to publish a run that failed a gate: who, when, and why."""

    by: str
    at: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What is known of a run when it is opened.

    ``listing`` is a digest of what the sources listed. ``labels`` is where the truth was said to be, and
    ``labels_by_page`` whether pages have labels of their own. ``temperature``, ``beta``, ``target_error``,
    ``threshold`` and ``by_source`` are the rule; ``by_source`` has the thresholds of sources that have their own, None
    where nothing is accepted. ``calibration`` is what the rule rests on. ``left_out`` is how many files are no scans,
    by why. ``retries`` names the run whose scans are scored again, ``refused_before`` runs of the same command that
    were not published. With ``trust_anyway`` answers are accepted even if the scans are unlike those of the
    calibration. ``increment`` is what of a night's listing was new, None of a run of all that is listed. ``forms`` are
    those that its pages may be of, and ``field_thresholds`` the rule for their fields; without any form, each page
    holds one digit. With ``asks_first`` the first net of the model is asked before the others; with ``all_nets`` the
    command said that it is not.
    """

    run_id: str
    run_date: str
    fingerprint: str
    listing: str
    sources: tuple[str, ...]
    labels: str
    labels_by_page: bool = False
    engine: str
    all_nets: bool = False
    asks_first: bool = False
    preprocessing: int | None
    temperature: float
    target_error: float | None
    threshold: float | None
    beta: Beta | None = None
    by_source: dict[str, float | None] | None = None
    calibration: CalibratedOn | None = None
    shard_size: int | None
    keep_images: bool
    limits: LimitFacts
    model: ModelFacts
    forms: tuple[FormFacts, ...] = ()
    field_thresholds: FieldThresholds | None = None
    scans: int
    opened_at: str
    listing_seconds: float
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    left_out: dict[str, int] | None = None
    trust_anyway: bool = False
    retries: str | None = None
    refused_before: tuple[str, ...] = ()
    increment: Increment | None = None
    schema_version: int
    format: int = FORMAT


@dataclass(frozen=True, kw_only=True)
class Opened(RunFacts):
    """``opened.json``, of a run whose manifest is frozen; ``shard_sizes`` counts the scans of each shard.

    ``profiles`` are those of the sets of the calibration, by name. ``judged`` is the judgement of the run that is
    retried.
    """

    shard_sizes: tuple[int, ...]
    profiles: dict[str, Profile] | None = None
    judged: Judgement | None = None


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The totals of a run; what is unknown without labels or without a rule is None.

    ``labelled`` and ``correct`` are of scored scans labelled with a digit; ``labelled_none`` are the rows labelled as
    no valid digit, of which some were rightly refused, some answered, some accepted and some unreadable.
    """

    rows: int
    scored: int
    blank: int
    refused: int
    unreadable: int
    statuses: dict[Status, int]
    answers: dict[str, int]
    labelled: int
    correct: int | None
    accuracy: float | None
    labelled_none: int
    none_refused: int
    none_answered: int
    none_unreadable: int
    none_accepted: int | None
    accepted: int | None
    review: int | None
    accepted_labelled: int | None
    accepted_errors: int | None
    expected_calibration_error: float | None = None

    @property
    def own_rows(self) -> int:
        """The rows whose answer, or the reason why there is none, is not in another row."""
        return self.rows - sum(self.statuses.get(name, 0) for name in SAME)


@dataclass(frozen=True, kw_only=True)
class FieldTotals:
    """The totals of the pages and fields of a run with forms; what is unknown without labels or without a rule is None.

    ``pages`` counts them by status, ``by_form`` the registered ones by form. ``fields`` counts the fields of these, and
    ``statuses`` the same by status. ``labelled`` and ``correct`` are of fields with a label.
    """

    pages: dict[str, int]
    by_form: dict[str, int]
    fields: int
    statuses: dict[str, int]
    labelled: int
    correct: int | None
    accuracy: float | None
    accepted: int | None
    review: int | None
    accepted_labelled: int | None
    accepted_errors: int | None


@dataclass(frozen=True)
class Arguments:
    """Arguments that decide no row, of the process that published a run."""

    preprocessors: int | None
    classifiers: int | None
    gpus_per_classifier: float
    max_unreadable: float


@dataclass(frozen=True, kw_only=True)
class SampleError:
    """The error among the accepted answers of a run, from a random sample of them that a person labelled.

    Of ``accepted`` answers ``drawn`` were drawn, ``labelled`` of these were given a label, and ``wrong`` of these are
    wrong. ``low`` and ``high`` are the 95 % interval of the share of wrong answers. ``labels`` is the file that was
    given back and ``blake2b`` its BLAKE2b-128 in hex.
    """

    accepted: int
    drawn: int
    labelled: int
    wrong: int
    low: float
    high: float
    labels: str
    blake2b: str
    stated_at: str


@dataclass(frozen=True, kw_only=True)
class Published(RunFacts):
    """``run.json``, of a published run. ``report_labels`` is where the labels of a later report came from.

    ``profile`` is that of its scans, and ``likeness`` compares it with the calibration; None where that is not known.
    ``pale`` counts the answers from ink that is paler than ``paler_than``, so that none of them is accepted.
    ``report_files`` is None of a run whose version did not record them. ``sample`` is how many accepted answers its
    audit.csv has, and ``sample_error`` what the labels that were given back say. ``drift`` compares the run with the
    nights before it; None where that was not done. ``former_reports`` are those before the one that counts. ``gates``
    are the bounds that the run had to keep, and ``anyway`` says who published a run that broke one.
    """

    shards: int
    versions: dict[str, str]
    totals: Totals
    files: tuple[File, ...]
    report_files: tuple[File, ...] | None
    report_labels: str | None = None
    sample: int | None = None
    sample_error: SampleError | None = None
    arguments: Arguments
    resumed_shards: int
    scoring_seconds: float
    publishing_seconds: float
    published_at: str
    profile: Profile | None = None
    likeness: Likeness | None = None
    paler_than: int | None = None
    pale: int | None = None
    field_totals: FieldTotals | None = None
    drift: Drift | None = None
    former_reports: tuple[FormerReport, ...] = ()
    gates: tuple[Gate, ...] = ()
    anyway: Anyway | None = None


@dataclass(frozen=True)
class PartFile:
    """A file beside a part, with its rows of another table: how many, its bytes and its BLAKE2b-128 in hex."""

    rows: int
    bytes: int
    blake2b: str


@dataclass(frozen=True)
class Receipt:
    """The writer's record of a part.

    ``scans`` are those of its shard and ``rows`` their pages; of these ``unreadable`` could not be read and
    ``labelled`` have a label. ``unplaced_labels`` are labels of pages that their scan does not have. ``bytes`` and
    ``blake2b``, a BLAKE2b-128 in hex, are those of its file. ``scored`` is the digest of the file before its answers
    were withheld. ``beside`` are the files of the shard's other tables, by table.
    """

    shard: int
    scans: int
    rows: int
    unreadable: int
    labelled: int
    unplaced_labels: int
    bytes: int
    blake2b: str
    scored: str | None = None
    beside: dict[str, PartFile] | None = None


def as_json(facts: Any) -> bytes:
    """Facts as the bytes of a JSON file."""
    return json.dumps(asdict(facts), indent=2).encode() + b"\n"


def from_json(kind: type[Facts], content: bytes) -> Facts:
    """Read what ``as_json`` wrote; ValueError, with a sentence, if it is damaged or its format is not read."""
    said = json.loads(content)
    if issubclass(kind, RunFacts) and isinstance(said, dict):
        said = _upgraded(kind, said)
    return validated(kind, said)


def validated(kind: type[Facts], said: Any) -> Facts:
    """The dataclass that JSON values describe; ValueError names the first field that is missing or of another type."""
    from pydantic import ValidationError

    if not isinstance(said, dict):
        raise ValueError(f"it holds a JSON {type(said).__name__}, not an object")
    try:
        facts: Facts = _reader()(kind).validate_python(said)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise ValueError(f"it lacks {name}" if first["type"] == "missing" else f"{name}: {first['msg']}") from None
    return facts


@cache
def _reader() -> Any:
    from pydantic import TypeAdapter  # imported when it is needed, since that takes a tenth of a second

    return cache(TypeAdapter)


def _upgraded(kind: type[RunFacts], said: dict[str, Any]) -> dict[str, Any]:
    """The facts of an older format, with the fields that it left out as they were meant."""
    written = said.get("format", 1)
    if written not in range(1, FORMAT + 1):
        raise ValueError(f"it has format {written}, and this version reads {FORMAT}: a newer version wrote it")
    if written == FORMAT:
        return said
    if issubclass(kind, Opened):
        raise OlderFormat("another version began this run, and this one cannot finish it; nothing of it is published")
    if written > 1:  # what was added since is unknown of such a run, and None
        return {**said, "format": FORMAT}
    said = {"schema_version": 1, "preprocessing": None, "report_files": None, **said, "format": FORMAT}
    totals = said.get("totals")
    if isinstance(totals, dict):  # that format had no label for "no valid digit"
        counted = dict.fromkeys(("labelled_none", "none_refused", "none_answered", "none_unreadable"), 0)
        none_accepted = None if totals.get("accepted") is None else 0
        said["totals"] = {**counted, "none_accepted": none_accepted, **totals}
    return said


class OlderFormat(ValueError):
    """The file has an older format that is not read."""
