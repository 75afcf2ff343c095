"""Two published runs, read, compared and shown: sentences for a terminal, and compare.html."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch.errors import InputError, StorageError
from mnist_batch.reading import preprocessing
from mnist_batch.reports import comparing, examples, field_labels, plots, report
from mnist_batch.reports.comparing import NONE, Comparison
from mnist_batch.runs import parts, series
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published
from mnist_batch.schemas.tables import NO_DIGIT
from mnist_batch.store import changing, locations
from mnist_batch.wording import counted

SHOWN = 48  # pictures of rows that differ
PAGE = "compare.html"


@dataclass(frozen=True)
class Compared:
    """What was compared, its ``title``, and the sentences that say what came of it; the last one is the verdict."""

    title: str
    comparison: Comparison
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class TwoRuns:
    """Two runs compared by their answers and, where both have forms, by the numbers in fields; and the page."""

    compared: tuple[Compared, ...]
    page: str

    @property
    def worse(self) -> tuple[str, ...]:
        """The names of the classes, and fields, that run b reads worse."""
        return tuple(name for each in self.compared for name in each.comparison.worse)


def compare(out: str, id_a: str, id_b: str) -> TwoRuns:
    """Compare two published runs of ``out``, each with the labels of its last report.

    Raises InputError for a run that is not there, and for two that have no scan in common.
    """
    if id_a == id_b:
        raise InputError(f"--b {id_b!r} is the run that --a names; give another one")
    (run_a, a), (run_b, b) = (series.published_run(out, run_id) for run_id in (id_a, id_b))
    rows_a, fields_a = _read(run_a, a)
    rows_b, fields_b = _read(run_b, b)
    of_rows, differing = comparing.compare(comparing.cells(rows_a), comparing.cells(rows_b))
    if not of_rows.compared:
        raise InputError(
            f"--a {id_a!r}, --b {id_b!r}: no scan was read in both with the same content. Runs are compared by "
            "source, scan and page: score the same location with both models"
        )
    compared = [_said("Answers", of_rows, "row")]
    if fields_a is not None and fields_b is not None:
        of_fields, _ = comparing.compare(comparing.fields(fields_a), comparing.fields(fields_b))
        compared.append(_said("Fields", of_fields, "field"))
    shown = _shown(rows_a, rows_b, differing.slice(0, SHOWN), b)
    return TwoRuns(tuple(compared), plots.comparison_page(a=a, b=b, compared=compared, shown=shown))


def _read(run: Run, published: Published) -> tuple[pa.Table, pa.Table | None]:
    """The rows of predictions of a run with the labels of its last report, and those of fields, if it has forms."""
    if published.forms:
        parts_read = list(field_labels.read_tables(run, published, tables.SHOWN))
        return tuple(pa.concat_tables([each[name] for each in parts_read]) for name in ("predictions", "fields"))
    _, truth = report.chosen_labels(run, published, None)
    rows = parts.read_parts(run, tables.SHOWN)
    return pa.concat_tables([part if truth is None else report.relabel(part, truth) for part in rows]), None


def _said(title: str, comparison: Comparison, noun: str) -> Compared:
    total = comparison.total
    sentences = [f"of {counted(comparison.compared, noun)} in both runs {comparison.differing:,} have another answer"]
    for number, why in (
        (comparison.only_a, "in a only"),
        (comparison.only_b, "in b only"),
        (comparison.changed, "of scans that changed between the runs"),
        (comparison.unread, "of scans that could not be read in both"),
    ):
        if number:
            sentences.append(f"{counted(number, noun)} {why} {'is' if number == 1 else 'are'} left out")
    if not total.labelled:
        sentences.append("without labels nothing can be said of which run is right")
        return Compared(title, comparison, tuple(sentences))
    sentences.append(
        f"{total.labelled:,} have a label: right in a {100 * total.right_a / total.labelled:.2f} %, in b "
        f"{100 * total.right_b / total.labelled:.2f} %; {total.lost:,} are lost, {total.gained:,} gained, "
        f"p = {total.p_value:.3g} by McNemar's exact test"
    )
    worse = ", ".join(comparison.worse)
    sentences.append(f"run b is worse, beyond noise, at {worse}" if worse else "no class is worse beyond noise")
    return Compared(title, comparison, tuple(sentences))


def _shown(rows_a: pa.Table, rows_b: pa.Table, differing: pa.Table, b: Published) -> Sequence[Mapping[str, Any]]:
    before, after = rows_a.take(differing["row_a"]), rows_b.take(differing["row_b"])
    label = pc.coalesce(after["label"], before["label"])
    seen = examples.read_again(examples.as_examples(after), preprocessing.Limits.of(b.limits), b.forms)
    return [
        row
        | {
            "answer_a": _answer(was),
            "answer_b": _answer(row),
            "label": NONE if known == NO_DIGIT else known,
            "lost": lost,
        }
        for row, was, known, lost in zip(
            seen.to_pylist(), before.to_pylist(), label.to_pylist(), differing["lost"].to_pylist(), strict=True
        )
    ]


def _answer(row: Mapping[str, Any]) -> str:
    return str(row["status"] if row["digit"] is None else row["digit"])


def write(out: str, id_a: str, id_b: str, found: TwoRuns, to: str | None = None) -> str:
    """Write the page, below ``out`` unless ``to`` says where, and return its location.

    Raises InputError if it cannot be written.
    """
    location = to or f"{out.rstrip('/')}/comparisons/{id_a}..{id_b}/{PAGE}"
    location = locations.absolute(location)
    filesystem, path = locations.resolve(location)
    try:
        changing.write_whole(filesystem, path, found.page.encode("utf-8", "backslashreplace"))
    except StorageError as error:
        raise InputError(f"--to {location!r}: cannot be written ({error.__cause__}); give another file") from None
    return location
