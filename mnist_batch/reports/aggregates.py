"""What a report needs of the rows, gathered part by part: counts, confidences, examples, labels, a profile, metrics."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pyarrow as pa

from mnist_batch.models import answers, likeness
from mnist_batch.reports.counting import Confidences, Contrasts, Counts
from mnist_batch.reports.drift_metrics import Seen
from mnist_batch.reports.examples import Examples
from mnist_batch.reports.field_counting import FieldCounts
from mnist_batch.reports.field_examples import FieldExamples
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Totals
from mnist_batch.schemas.likeness_facts import Profile

COUNTS = b"mnist_batch.counts"  # in the metadata of the examples that ``Aggregates.table`` gives


@dataclass
class Aggregates:
    """Sums over the rows of a run or of a part, and the rows that a report shows.

    ``labels`` are tables of ``tables.LABELS``, one a part, and ``field_labels`` are tables of ``tables.FIELD_LABELS``.
    ``profile`` and ``seen`` are of the rows whose pictures were there.
    """

    counts: Counts
    confidences: Confidences = field(default_factory=Confidences)
    contrasts: Contrasts = field(default_factory=Contrasts)
    examples: Examples = field(default_factory=Examples)
    labels: list[pa.Table] = field(default_factory=lambda: [tables.LABELS.empty_table()])
    profile: Profile = likeness.EMPTY
    fields: FieldCounts = field(default_factory=FieldCounts)
    field_examples: FieldExamples = field(default_factory=FieldExamples)
    seen: Seen = field(default_factory=Seen)
    field_labels: list[pa.Table] = field(default_factory=lambda: [tables.FIELD_LABELS.empty_table()])

    @classmethod
    def of_run(cls, threshold: float | None) -> "Aggregates":
        """Empty aggregates for a run with this threshold; None is a run without a rule."""
        ruled = threshold is not None
        return cls(Counts(ruled), fields=FieldCounts(ruled), seen=Seen(ruled))

    def add(self, rows: pa.Table, pictures: pa.Array | None = None) -> None:
        """Add rows of predictions, with the columns ``tables.SHOWN``; those that an actor scored have all columns.

        ``pictures`` are what the model saw of them, 784 bytes each.
        """
        self.counts.add(rows)
        self.confidences.add(rows)
        self.examples.add(rows, pictures)
        self.add_labels(rows)
        if "normalisation" in rows.column_names:
            self.contrasts.add(rows)
        if pictures is not None:
            seen = answers.images_of(pa.table({"picture": pictures}))
            self.profile = likeness.merged([self.profile, likeness.profile_of_rows(rows, seen)])
            self.seen.add(rows, seen)

    def add_beside(self, beside: Mapping[str, pa.Table], rows: pa.Table, pictures: pa.Array | None = None) -> None:
        """Add the fields and pages of a run with forms, ``tables.BESIDE``; ``rows`` and ``pictures`` as for ``add``.

        These rows have the column ``cell``, too.
        """
        if beside:
            self.field_examples.add(beside, rows, pictures)
            self.fields.add_fields(beside["fields"])
            self.fields.add_pages(beside["pages"])
            self.add_field_labels(beside["fields"])

    def add_field_labels(self, fields: pa.Table) -> None:
        """Keep the labels of the rows of ``fields`` that have one."""
        known = fields.filter(fields["label"].is_valid()).rename_columns({"value": "read", "label": "value"})
        columns = {name: known[name] for name in tables.FIELD_LABELS.names}
        self.field_labels.append(tables.table(tables.FIELD_LABELS, columns))

    def add_labels(self, rows: pa.Table) -> None:
        """Keep the labels of the rows that have one; the columns are those of ``tables.LABELS``."""
        known = rows.filter(rows["label"].is_valid())
        self.labels.append(tables.table(tables.LABELS, {name: known[name] for name in tables.LABELS.names}))

    def table(self) -> pa.Table:
        """The examples, ``tables.EXAMPLES``, with all counts in their metadata, for ``merge``."""
        counts, confidences, contrasts = self.counts, self.confidences, self.contrasts
        numbers = {
            "matrix": counts.matrix.tolist(),
            "accepted": counts.accepted.tolist(),
            "statuses": counts.statuses,
            "no_digit": counts.no_digit,
            "bins": confidences.bins.tolist(),
            "sums": confidences.sums.tolist(),
            "steps": confidences.steps.tolist(),
            "by_contrast": contrasts.by_contrast.tolist(),
            "clear_by_contrast": contrasts.clear_by_contrast.tolist(),
            "profile": asdict(self.profile),
            "fields": self.fields.as_json(),
            "seen": self.seen.as_json(),
        }
        both = pa.concat_tables([self.examples.table(), self.field_examples.table()])
        return both.replace_schema_metadata({COUNTS: json.dumps(numbers)})

    def merge(self, kept: Sequence[pa.Table]) -> None:
        """Add what ``table`` made of other rows; labels are not in it."""
        every = [json.loads(each.schema.metadata[COUNTS]) for each in kept]
        self.profile = likeness.merged([self.profile, *(Profile(**numbers["profile"]) for numbers in every)])
        for numbers in every:
            self.fields.merge(numbers["fields"])
            self.seen.merge(numbers["seen"])
            for of in (self.counts, self.confidences, self.contrasts):
                for name in of.__dataclass_fields__:
                    if name in numbers:
                        here = getattr(of, name)
                        here += Counter(numbers[name]) if isinstance(here, Counter) else np.array(numbers[name])
        if kept:
            together = pa.concat_tables([each.replace_schema_metadata(None) for each in kept])
            self.field_examples.merge(together)
            self.examples.merge(together)

    def totals(self) -> Totals:
        """The totals of the rows."""
        return replace(self.counts.totals(), expected_calibration_error=self.confidences.error())
