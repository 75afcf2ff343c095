"""Calibration on labelled fields: what the confidence of whole numbers certifies."""

import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch.forms.spans import FieldStatus
from mnist_batch.forms.values import REPAIRED
from mnist_batch.models import certifying
from mnist_batch.schemas.bundle_facts import CalibrationSet


def by_source(fields: pa.Table) -> tuple[CalibrationSet, ...]:
    """The thresholds that the labelled fields of each source certify for themselves, as ``certified``, by source."""
    fields = fields.filter(fields["label"].is_valid())
    sources = fields["source"].cast(pa.string())
    return tuple(certified(name, fields.filter(pc.equal(sources, name))) for name in sorted(set(sources.to_pylist())))


def certified(name: str, fields: pa.Table) -> CalibrationSet:
    """The thresholds that fields certify, by the rows of the table of fields that have a label.

    Fields that are never accepted do not count. A field that is rightly taken for empty is accepted at any threshold,
    and so counts as one of the surest, right if its label is empty.
    """
    fields = fields.filter(fields["label"].is_valid())
    repaired = pc.starts_with(pc.fill_null(fields["reason"], REPAIRED), REPAIRED)
    empty = pc.equal(fields["status"].cast(pa.string()), FieldStatus.EMPTY)
    clear = fields.filter(pc.and_(repaired, pc.or_(fields["value"].is_valid(), empty)))
    sure = pc.fill_null(clear["confidence"], 1.0).to_numpy()
    right = pc.equal(pc.fill_null(clear["value"], ""), clear["label"]).to_numpy()
    return CalibrationSet(name, len(fields), certifying.risks(sure, right) if len(sure) else ())
