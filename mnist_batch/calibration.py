"""From a published run with labels to a bundle that is calibrated by its answers: read ``calibrate``."""

import datetime
import logging
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch.errors import InputError
from mnist_batch.intake.labels import Truth
from mnist_batch.models import beta, bundle, certifying, field_calibrating, likeness
from mnist_batch.models.calibrating import Sample
from mnist_batch.pixels import normalising
from mnist_batch.reports import field_labels, report
from mnist_batch.runs import parts, series, verifying
from mnist_batch.runs.run import Run, digest
from mnist_batch.schemas import tables
from mnist_batch.schemas.bundle_facts import BundleFacts, Calibration, CalibrationSet, OwnLabels
from mnist_batch.schemas.facts import Published
from mnist_batch.store import locations
from mnist_batch.wording import counted, either

log = logging.getLogger(__name__)

TARGETS = (0.001, 0.002, 0.005, 0.01, 0.02)  # that the text tells about
LARGEST = 0.1  # a calibration that certifies no error up to this one is not made
COLUMNS = [*tables.KEY, "label", "digit", "probabilities", "reason", "content"]
OF_CELL = ("form", "field", "position")  # what tells the cells of a page apart


@dataclass(frozen=True)
class Labelled:
    """The labelled answers of a run: their rows, as in ``predictions``, and the copies of scans that were left out."""

    rows: pa.Table
    copies: int

    @property
    def sample(self) -> Sample:
        """The answers to calibrate with; those are clear that have no ``reason`` never to be accepted."""
        flat = self.rows["probabilities"].combine_chunks().flatten().to_numpy()
        labels = self.rows["label"].to_numpy().astype(np.int64)
        return Sample(flat.reshape(-1, tables.CLASSES), labels, self.rows["reason"].is_null().to_numpy())

    @property
    def digest(self) -> str:
        """A digest of all that the calibration is made of, in hex."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.rows.schema) as writer:
            writer.write_table(self.rows.combine_chunks())
        return digest(sink.getvalue())


def calibrate(
    out: str,
    run_id: str,
    to: str,
    *,
    labels: str | None = None,
    ignore_unlisted_labels: bool = False,
    model: str | None = None,
    by_source: bool = False,
) -> bundle.Bundle:
    """Publish, at ``to``, the model of a published run with a calibration by the run's labelled answers.

    ``labels`` are as for ``report.rebuild``. ``model`` is another place of the same model. With ``by_source`` each
    source of the run also has thresholds of its own. Raises InputError if the run, its labels, the model or the place
    do not fit, and BooksError if the predictions are not those that were published.
    """
    to = locations.absolute(to)
    locations.reach("--to", to)
    bundle.check_new(to, "--to")
    run, published = series.published_run(out, run_id)
    start = _model_of(published, run_id, model)
    verifying.check_predictions(run, published.files)
    where, labelled, fields = _read(run, published, labels, ignore_unlisted_labels)
    _check_labelled(labelled, run_id, published)
    made = _of_digits(labelled, published, by_source)
    own = _own(labelled, run_id, where or published.labels)
    _check_enough(made, labelled.sample, own)
    if own.absent:
        log.warning("%s", _absent_text(own))
    if fields is not None:
        made = _with_fields(made, fields, run_id, by_source)
    made = replace(made, made=datetime.date.today().isoformat(), own=own)
    first, every = (made, None) if published.asks_first else (None, made)
    return _publish(start, replace(start.facts, calibration=every, first_calibration=first), to)


def _read(
    run: Run, published: Published, labels: str | None, ignore_unlisted: bool
) -> tuple[str | None, Labelled, pa.Table | None]:
    """Where the labels of a run are from, its labelled answers, and of a run with forms the rows of its fields."""
    if not published.forms:
        where, truth = report.chosen_labels(run, published, labels, ignore_unlisted)
        return where, read_labelled(run, truth), None
    parts_read = list(field_labels.read_tables(run, published, [*COLUMNS, *OF_CELL], labels, ignore_unlisted))
    labelled = distinct(each["predictions"] for each in parts_read)
    fields = pa.concat_tables(_with_texts(each["fields"]) for each in parts_read)
    return labels or published.report_labels, labelled, fields


def _model_of(published: Published, run_id: str, model: str | None) -> bundle.Bundle:
    """The bundle that answered a run; InputError if it is another, or saw other pictures than it would see today."""
    opened = bundle.open_bundle(model or published.model.location)
    if opened.digest != published.model.digest:
        raise InputError(
            f"--model {opened.location} is {opened.digest}, but {published.model.digest} gave the answers of run "
            f"{run_id}; give that model, or score the scans again with this one"
        )
    if published.preprocessing != normalising.VERSION:
        raise InputError(
            f"--run {run_id} was scored with preprocessing {published.preprocessing}, and this version has "
            f"{normalising.VERSION}: its model would see other pictures; score the scans again, and give that run"
        )
    return opened


def read_labelled(run: Run, truth: Truth | None) -> Labelled:
    """The answers of a published run that have a label: that of ``truth``, None for those in the rows.

    The same bytes with the same label count once.
    """
    answered = (part.filter(part["digit"].is_valid()) for part in parts.read_parts(run, COLUMNS))
    return distinct(rows if truth is None else report.relabel(rows, truth) for rows in answered)


def distinct(rows: Iterable[pa.Table]) -> Labelled:
    """The labelled answers among rows of predictions; the same bytes with the same label count once."""
    found = []
    for each in rows:
        labelled = each.filter(pc.and_(each["digit"].is_valid(), each["label"].is_valid()))
        found.append(_with_texts(labelled))
    everything = pa.concat_tables(found).append_column("at", pa.array(np.arange(sum(map(len, found)))))
    names = ["content", "page", "label", *(name for name in OF_CELL if name in everything.column_names)]
    first = everything.group_by(names, use_threads=False).aggregate([("at", "min")])["at_min"]
    kept = everything.take(pc.array_take(first.combine_chunks(), pc.array_sort_indices(first.combine_chunks())))
    return Labelled(kept.drop_columns(["at"]), len(everything) - len(kept))


def _with_texts(rows: pa.Table) -> pa.Table:
    """The rows with plain texts: the dictionaries of two parts differ."""
    of_text = [pa.field(each.name, pa.string()) if each.type == tables.TEXT else each for each in rows.schema]
    return rows.cast(pa.schema(of_text))


def _of_digits(labelled: Labelled, published: Published, by_source: bool) -> Calibration:
    """The calibration by the labelled answers of a run, with the run's profile, if it has one."""
    sample = labelled.sample
    sources = np.array(labelled.rows["source"].to_pylist(), object) if by_source else None
    made = beta.calibrate(f"run {published.run_id}", sample, published.temperature, sources)
    if not published.profile:
        return made
    profile = likeness.recalibrated(published.profile, beta.confidence(sample.outputs[sample.clear], made.beta))
    return replace(made, sets=tuple(replace(each, profile=profile) for each in made.sets))


def _with_fields(made: Calibration, fields: pa.Table, run_id: str, by_source: bool) -> Calibration:
    """The calibration with that of the labelled fields of a run with forms."""
    of_sources = field_calibrating.by_source(fields) if by_source else ()
    return replace(made, fields=field_calibrating.certified(f"run {run_id}", fields), fields_by_source=of_sources)


def _own(labelled: Labelled, run_id: str, labels: str) -> OwnLabels:
    """The facts of the labelled answers of a run; ``labels`` are where the labels are from."""
    sample = labelled.sample
    return OwnLabels(
        run_id=run_id,
        labels=labels,
        answers=labelled.digest,
        none=int((sample.labels == tables.NO_DIGIT).sum()),
        never_accepted=int((~sample.clear).sum()),
        copies=labelled.copies,
        absent=tuple(digit for digit in range(tables.CLASSES) if digit not in sample.labels),
    )


def _check_labelled(labelled: Labelled, run_id: str, published: Published) -> None:
    if not len(labelled.rows):
        raise InputError(
            f"--run {run_id}: none of its answers has a label, so there is nothing to calibrate by; give --labels "
            f"FILE, a CSV or Parquet file with columns scan,{'page,field,value' if published.forms else 'label'}"
        )


def _check_enough(made: Calibration, sample: Sample, own: OwnLabels) -> None:
    least = certifying.least_certified(made)
    if least is None or least > LARGEST:
        unlike = int((sample.outputs.argmax(axis=1) != sample.labels).sum())
        remedy = f"{certifying.needed_text(made.sets[0], LARGEST)}; label more of its scans"
        if 2 * unlike > made.digits:  # no model reads so badly
            doubtful = f"these ({own.labels}) are moved by a row, or of others"
            remedy = f"{unlike:,} differ from their labels; check whether {doubtful}"
        answers = counted(made.digits, "labelled answer")
        raise InputError(f"--run {own.run_id}: {answers} certify no error up to {LARGEST:g}: {remedy}")


def _absent_text(own: OwnLabels) -> str:
    return (
        f"no label is {either(own.absent)}: nothing is promised of such digits; label all scans of a run, or a random "
        "sample of them"
    )


def _publish(start: bundle.Bundle, facts: BundleFacts, to: str) -> bundle.Bundle:
    """Publish the files of a bundle with other facts."""
    filesystem, folder = locations.resolve(start.location)
    with tempfile.TemporaryDirectory() as copy:
        for name in locations.names(filesystem, folder):
            if name != "model.json" and not locations.is_folder(filesystem, f"{folder}/{name}"):
                Path(copy, name).write_bytes(locations.read(filesystem, f"{folder}/{name}"))
        bundle.describe(Path(copy), facts)
        made = bundle.publish(Path(copy), to)
    if made.digest != start.digest:
        raise InputError(f"--model {start.location} changed while it was copied; give the same command again")
    return made


def text(calibration: Calibration) -> str:
    """What a calibration by own labels says, as a terminal shows it: its answers, and what each target accepts."""
    own, [whole] = calibration.own, calibration.sets
    assert own is not None
    last = whole.thresholds[-1]
    answers = f"{counted(whole.digits, 'labelled answer')} of {whole.name} (labels: {own.labels})"
    answers += f": of {last.accepted:,} that may be accepted, {last.errors:,} wrong"
    for count, what in ((own.never_accepted, "never accepted"), (own.none, "labelled none"), (own.copies, "left out")):
        answers += f"; {count:,} {what}" if count else ""
    lines = [
        answers + (" as copies of others" if own.copies else ""),
        *_promises(whole, calibration.level),
        *([_absent_text(own)] if own.absent else []),
    ]
    if calibration.fields:
        lines += [f"{counted(calibration.fields.digits, 'labelled field')}:"]
        lines += _promises(calibration.fields, calibration.level)
    for of_source in calibration.by_source:
        lines += [f"source {of_source.name}:", *_promises(of_source, calibration.level)]
    for of_source in calibration.fields_by_source:
        labelled = counted(of_source.digits, "labelled field")
        lines += [f"source {of_source.name}, {labelled}:", *_promises(of_source, calibration.level)]
    return "\n".join(lines)


def _promises(of_set: CalibrationSet, level: float) -> list[str]:
    lines = []
    for target in TARGETS:
        threshold = certifying.last_certified(of_set.thresholds, target, level)
        if threshold is None:
            lines.append(f"  --target-error {certifying.needed_text(of_set, target, level)}")
            continue
        accepted = next(entry.accepted for entry in of_set.thresholds if entry.threshold == threshold)
        share = 100 * accepted / of_set.digits
        lines.append(f"  --target-error {target:g} accepts {share:.1f} % of these, from confidence {threshold:.4f}")
    return lines


def summary(made: bundle.Bundle) -> Mapping[str, Any]:
    """The facts of a bundle with a calibration by own labels, for a job's last line."""
    [calibration] = made.facts.calibrations
    assert calibration.own is not None
    return {
        "model": made.location,
        "digest": made.digest,
        "run_id": calibration.own.run_id,
        "labelled": calibration.digits,
        "never_accepted": calibration.own.never_accepted,
        "absent": list(calibration.own.absent),
        "least_target_error": certifying.least_certified(calibration),
    }
