"""The error among the accepted answers of a run, from the labels that a person gave to a random sample of them."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

from mnist_batch.errors import InputError
from mnist_batch.intake import scan_names, scans, user_tables
from mnist_batch.models import intervals
from mnist_batch.reports import sampling
from mnist_batch.reports.sampling import Sample
from mnist_batch.runs.run import Run, digest, now
from mnist_batch.schemas.facts import Published, SampleError
from mnist_batch.store import locations
from mnist_batch.wording import counted

FLAG = "--audit-labels"
LEVEL = 0.95

Key = tuple[str, str, int]  # source, scan, page


def given_back(run: Run, published: Published, location: str) -> Published:
    """What a run says of itself once its audit.csv is given back, filled in.

    Raises InputError if no sample was drawn, and like ``labels_of``.
    """
    if published.sample is None:
        raise InputError(
            f"{FLAG} {location}: no sample of run {published.run_id} was drawn; draw one with --audit N, and give back "
            "its audit.csv, filled in"
        )
    check_file(location)
    sample = sampling.draw(run, published, published.sample)
    error = stated(published, sample, location)
    return replace(sampling.recorded(run, published, error.blake2b), sample_error=error)


def check_file(location: str) -> None:
    """Raise InputError if a folder is given where a file is meant."""
    if locations.is_folder(*locations.resolve(location)):
        raise InputError(f"{FLAG} {location}: is a folder; give one file, the one that was filled in")


def stated(published: Published, sample: Sample, location: str) -> SampleError:
    """The error among the accepted answers of a run, from a filled-in audit.csv of its ``sample``.

    The label none makes an answer wrong. The interval is that of Clopper and Pearson for a share. It is exact for
    draws from any number of answers; from few it is wider than it need be. Raises InputError like ``labels_of``.
    """
    labels = labels_of(location, sample, published.run_id)
    answers = dict(zip(scans.keys(sample.rows), sample.rows["digit"].to_pylist(), strict=True))
    wrong = sum(answers[key] != label for key, label in labels.items())
    return error_of(sample.accepted, len(sample.rows), len(labels), wrong, location)


def error_of(accepted: int, drawn: int, labelled: int, wrong: int, location: str) -> SampleError:
    """The error that a sample shows: of ``accepted`` so many ``drawn``, ``labelled`` and ``wrong``, by a label file."""
    low, high = interval(wrong, labelled)
    return SampleError(
        accepted=accepted,
        drawn=drawn,
        labelled=labelled,
        wrong=wrong,
        low=low,
        high=high,
        labels=location,
        blake2b=digest(locations.read(*locations.resolve(location))),
        stated_at=now(),
    )


def interval(wrong: int, labelled: int) -> tuple[float, float]:
    """The two-sided exact 95 % interval of a share, by Clopper and Pearson: two one-sided bounds at 97.5 %."""
    level = (1 + LEVEL) / 2
    low = 1 - float(intervals.upper_bound(labelled - wrong, labelled, level))
    return low, float(intervals.upper_bound(wrong, labelled, level))


def labels_of(location: str, sample: Sample, run_id: str) -> dict[Key, int]:
    """The labels in a filled-in audit.csv, by the key of each row that has one.

    Raises InputError, naming the line, for a row of another run, a label for a row that was not drawn, a second label
    for a row, and a value that is no label; and where no row has a label.
    """
    pages: dict[tuple[str, str], set[int]] = defaultdict(set)
    for source, scan, page in scans.keys(sample.rows):
        pages[source, scan].add(page)
    named, labels = scan_names.ScanNames(pages), dict[Key, int]()
    for rows in user_tables.read(FLAG, location, ["scan", "label"], ["source", "page", "run"]):
        nothing = [None] * len(rows.numbers)
        sources, runs = rows.columns.get("source", nothing), rows.columns.get("run", nothing)
        columns = (rows.texts("scan"), sources, rows.pages(), runs, rows.digits())
        for at, (name, source, asked, of_run, label) in enumerate(zip(*columns, strict=True)):
            _check_run(rows.where(at), of_run, run_id)
            if label is None:
                continue
            found = named.scan_of(rows.where(at), name, source)
            if found and source not in (None, "", found[0]):  # a scan of that name was drawn, but of another source
                found = None
            keys = [(*found, page) for page in pages[found] if asked in (None, page)] if found else []
            if not keys:
                raise InputError(f"{rows.where(at)}: {_not_drawn(name, asked, len(sample.rows))}")
            if any(key in labels for key in keys):
                raise InputError(f"{rows.where(at)}: {name!r} is labelled a second time; keep one row")
            labels |= dict.fromkeys(keys, label)
    named.check()
    if not labels:
        raise InputError(f"{FLAG} {location}: no row has a label; fill in the column label, 0 to 9 or none")
    return labels


def _check_run(where: str, of_run: Any, run_id: str) -> None:
    text = str(of_run).strip()
    if of_run is not None and text.lower() not in user_tables.UNKNOWN and text != run_id:
        raise InputError(
            f"{where}: run is {text!r}, and this is run {run_id!r}; give the audit.csv of this run. If a spreadsheet "
            "has changed the column run, delete the column"
        )


def _not_drawn(name: str, page: int | None, drawn: int) -> str:
    which = repr(name) if page is None else f"page {page} of {name!r}"
    return (
        f"{which} was not drawn, so its label would make the sample biased; label only the {counted(drawn, 'row')} of "
        "this run's audit.csv. Other labels are given with --labels"
    )


def text(published: Published) -> str | None:
    """What a run's sample says of the error among its accepted answers, in sentences; None if nothing is known."""
    what = "field" if published.forms else "answer"
    return _sentences(published.sample_error, published.target_error, what) if published.sample_error else None


def _sentences(error: SampleError, target_error: float | None, what: str) -> str:
    text = (
        f"Of {counted(error.accepted, f'accepted {what}')} {error.drawn:,} were drawn at random, {error.labelled:,} of "
        f"these have been labelled, and {error.wrong:,} of these {'is' if error.wrong == 1 else 'are'} wrong: "
        f"{_percent(error.wrong / error.labelled)} %. With 95 % certainty {_percent(error.low)} to "
        f"{_percent(error.high)} % of all accepted {what}s are wrong."
    )
    if target_error is not None:
        target = f"the target error of {100 * target_error:g} %"
        if error.low > target_error:
            text += f" This is above {target}."
        elif error.high <= target_error:
            text += f" This is within {target}."
        else:
            text += f" Whether {target} is kept needs a larger sample."
    if empty := error.drawn - error.labelled:
        text += (
            f" {counted(empty, 'row')} {'has' if empty == 1 else 'have'} no label and {'is' if empty == 1 else 'are'} "
            f"not counted; if they were left empty because they are hard to read, more {what}s are wrong than this "
            "says."
        )
    return text


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"
