"""The text that a terminal shows for a published run."""

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

import pandas as pd
import pyarrow as pa

from mnist_batch.intake import scans
from mnist_batch.reports import drift_text, promise, unlike
from mnist_batch.runs import parts
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import FieldTotals, Published, Totals
from mnist_batch.statuses import READ, Status
from mnist_batch.store import locations
from mnist_batch.wording import counted

FEW = 20  # answers that are shown one by one
SHOWN = ["source", "scan", "page", "digit", "confidence", "decision", "status", "reason", "field"]


def run_text(run: Run, published: Published) -> str:
    """A run as text: its answers if they are few or there are no labels, otherwise its classes; then its totals.

    The last lines say for what its promise holds, how like its scans are, and where its report is.
    """
    totals, answers = published.totals, _number_of_answers(published)
    if answers <= FEW:
        pieces = [answers_text(run)]
    elif totals.labelled or totals.none_answered:
        pieces = [per_class_text(run)]
    else:
        first = 5
        pieces = [
            answers_text(run, first),
            f"(the first {first} of {answers:,})",
            counts_text(totals.answers),
        ]
    page = run.location(f"{run.folder}/report.html")
    said = [*promise.sentences(published), unlike.sentence(published), unlike.pale_sentence(published)]
    said.append(drift_text.sentence(published.drift))
    fields = fields_text(published.field_totals) if published.field_totals else None
    where = [predictions_text(run)] if run.at_store else []
    return "\n".join([*filter(None, [*pieces, totals_text(totals), fields, *said]), *where, f"report: {page}"])


def predictions_text(run: Run) -> str:
    """How the rows of a run at a store are read, where its folders are not only of published files."""
    return (
        f"predictions: mnist_batch.read_predictions({run.out!r}, run={run.run_id!r}), or the views of "
        f"{run.location(f'{run.root}/published.sql')}; the folders hold files of unfinished runs, too"
    )


def _number_of_answers(published: Published) -> int:
    """How many lines ``answers_text`` has of a run: one for each field, and for each scan or page without fields."""
    of_fields = published.field_totals
    if of_fields is None:
        return published.totals.rows
    return of_fields.fields + sum(count for name, count in of_fields.pages.items() if name != "registered")


def answers_text(run: Run, most: int = FEW) -> str:
    """One line for each of the first ``most`` answers: its number and confidence, or its status and reason.

    An answer is a row, or a field of a form with all its cells.
    """
    rows = list(islice(_answers(run), most))
    several = len({row["source"] for row in rows}) > 1
    return "\n".join(_answer(row, several) for row in rows)


def _answers(run: Run) -> Iterator[dict[str, Any]]:
    files = iter([path for _, path in sorted(parts.table_paths(run, "fields").items())])
    numbers: dict[tuple[Any, ...], dict[str, Any] | None] = {}
    for part in parts.read_parts(run, SHOWN):
        for row in chain.from_iterable(batch.to_pylist() for batch in part.to_batches(max_chunksize=FEW)):
            if row["field"] is None:
                yield row
                continue
            while _key(row) not in numbers and (path := next(files, None)) is not None:
                numbers |= {_key(each): each for each in locations.read_table(run.filesystem, path).to_pylist()}
            found, numbers[_key(row)] = numbers.get(_key(row)), None  # once, for its first cell
            if found is not None:
                yield found


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("source", "scan", "page", "field"))


def _answer(row: Mapping[str, Any], with_source: bool) -> str:
    name = row["scan"]
    if with_source and not scans.rooted(name):
        name = f"{row['source'].rstrip('/')}/{name}"
    name = ascii(name)[1:-1] + (f" p. {row['page'] + 1}" if row["page"] else "")
    name += f" {row['field']}" if row["field"] else ""
    if row["status"] != Status.OK:
        return f"{name}: {row['status']}" + (f" ({row['reason']})" if row["reason"] else "")
    decision = f", {row['decision']}" if row["decision"] else ""
    answer = row["value"] if row["field"] else row["digit"]
    return f"{name}: {answer} (confidence {row['confidence']:.4f}{decision})"


def counts_text(answers: Mapping[str, int]) -> str:
    """The number of scans read as each digit, in one line."""
    return "read as " + ", ".join(f"{digit}: {count:,}" for digit, count in answers.items())


def per_class_text(run: Run) -> str:
    """The per_class table of a run as text, with a dash for null; the columns of decisions only if there is a rule."""
    table = locations.read_table(run.filesystem, parts.table_paths(run, "per_class")["report"])
    table = table.select([name for name in tables.PER_CLASS.names if name in table.column_names])
    if table["accepted"].null_count:
        table = table.drop_columns(["accepted", "accepted_errors"])
    rates = [column.name for column in table.schema if column.type == pa.float64()]

    def shown(name: str, value: Any) -> str:
        return "-" if value is None else f"{value:.4f}" if name in rates else f"{value:,}"

    rows = [{name: shown(name, value) for name, value in row.items()} for row in table.to_pylist()]
    return pd.DataFrame(rows).to_string(index=False)


def fields_text(totals: FieldTotals) -> str:
    """The totals of the pages and fields of a run with forms, in one line."""
    registered = ", ".join(f"{count:,} of form {form}" for form, count in totals.by_form.items())
    others = ", ".join(f"{count:,} {name}" for name, count in totals.pages.items() if name != "registered")
    text = f"{counted(sum(totals.pages.values()), 'page')}: {', '.join(filter(None, [registered, others]))}"
    text += f"; {counted(totals.fields, 'field')}"
    if totals.accuracy is not None:
        text += f", {_right(totals)}"
    return text + _accepted(totals)


def _right(totals: Totals | FieldTotals) -> str:
    accuracy = 100 * (totals.accuracy or 0)
    return f"{totals.correct:,} of {totals.labelled:,} with a label right ({accuracy:.2f} %)"


def _accepted(totals: Totals | FieldTotals) -> str:
    text = ""
    if totals.accepted is not None:
        text += f"; {totals.accepted:,} accepted, {totals.review:,} for review"
    if totals.accepted_errors is not None:
        text += f"; of {totals.accepted_labelled:,} accepted with a label, {totals.accepted_errors:,} wrong"
    return text


def facts(run: Run, published: Published) -> dict[str, Any]:
    """What the last line says of a run that was scored: its counts, and where its tables and its report are."""
    totals = published.totals
    return {
        **{name: getattr(totals, name) for name in ("rows", "scored", "unreadable", "labelled", "accuracy")},
        **decisions(totals),
        **fields(published),
        **({"unlike": published.likeness.unlike} if published.likeness else {}),
        "predictions": run.location(run.table_folder("predictions")),
        "report": run.location(f"{run.folder}/report.html"),
    }


def fields(published: Published) -> dict[str, Any]:
    """What the last line says of pages and fields, if there are forms: by status, and what is known to be right."""
    if (totals := published.field_totals) is None:
        return {}
    names = ("fields", "labelled", "correct", "accepted", "review", "accepted_labelled", "accepted_errors")
    known = {name: value for name in names if (value := getattr(totals, name)) is not None}
    return {"fields": {"pages": totals.pages, **known}}


def decisions(totals: Totals) -> dict[str, int]:
    """The numbers of rows accepted, for review and accepted wrongly, as far as the run's rule and labels give them."""
    names = ("accepted", "review", "accepted_labelled", "accepted_errors")
    return {name: value for name in names if (value := getattr(totals, name)) is not None}


def totals_text(totals: Totals) -> str:
    """The totals of a run in one line."""
    text = f"{totals.scored:,} of {counted(totals.rows, 'row')} scored"
    if totals.blank:
        text += f"; {totals.blank:,} blank"
    if totals.refused:
        text += f"; {totals.refused:,} refused (no digit, or several)"
    if totals.unreadable:
        reasons = ", ".join(f"{count:,} {name}" for name, count in totals.statuses.items() if name not in READ)
        text += f"; {totals.unreadable:,} could not be read: {reasons}"
    if totals.accuracy is not None:
        text += f"; {_right(totals)}"
    if totals.labelled_none:
        text += f"; of {totals.labelled_none:,} labelled none, {totals.none_refused:,} rightly without an answer"
        text += f", {totals.none_answered:,} answered"
        if totals.none_accepted:
            text += f" ({totals.none_accepted:,} accepted)"
        if totals.none_unreadable:
            text += f", {totals.none_unreadable:,} unreadable"
    return text + _accepted(totals)
