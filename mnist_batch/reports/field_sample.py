"""The error among the accepted fields of a run with forms, from what a person typed for a random sample of them."""

from dataclasses import replace

import pyarrow.compute as pc

from mnist_batch.errors import InputError
from mnist_batch.intake import field_values, scans
from mnist_batch.reports import reviewing, sample_error
from mnist_batch.reports.sample_error import FLAG
from mnist_batch.runs import parts
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published

LEAST_LABELLED = 0.5  # of the fields that come first in the random order, up to the last one that has a value
COLUMNS = [*tables.KEY, "field", "value", "decision"]


def given_back(run: Run, published: Published, location: str) -> Published:
    """What a run with forms says of itself once the values that were typed for a sample of its fields are given back.

    The sample are the accepted fields up to the last one with a value, in the random order in which ``jobs.review
    --audit`` draws. Other rows of the file say nothing of it. Raises InputError if no accepted field has a value, if so
    many of the sample have none that they were not drawn, and like ``field_values.read``.
    """
    ranks, labelled = _compared(run, published, location)
    if not labelled:
        raise InputError(
            f"{FLAG} {location}: no accepted field of run {run.run_id} has a value there; draw some with jobs.review "
            "--audit N, and give back the corrections.csv of its page"
        )
    last = max(labelled)
    drawn = sum(rank <= last for rank in ranks)
    if len(labelled) < LEAST_LABELLED * drawn:
        raise InputError(
            f"{FLAG} {location}: {len(labelled):,} accepted fields have a value, and they are no random sample: of the "
            f"{drawn:,} that come first in the random order of run {run.run_id}, up to the last of these, most have "
            "none. Decide the fields that jobs.review --audit N draws, and join what several people decided with "
            "--merge; other values are given with --labels"
        )
    error = sample_error.error_of(len(ranks), drawn, len(labelled), sum(labelled.values()), location)
    return replace(published, sample_error=error)


def _compared(run: Run, published: Published, location: str) -> tuple[list[bytes], dict[bytes, bool]]:
    """The ranks of all accepted fields, and whether those with a value in the file were read wrongly, by their rank."""
    sample_error.check_file(location)
    listed = {key for part in parts.read_parts(run, ["source", "scan"]) for key in scans.identities(part)}
    given = field_values.read(dict.fromkeys(listed), location, run.forms, flag=FLAG)
    values = {(*scan, page, field): value for scan, each in given.items() for page, field, value in each}
    ranks, labelled = list[bytes](), dict[bytes, bool]()
    for part in reviewing.parts_of(run, "fields", COLUMNS):
        accepted = part.filter(pc.equal(part["decision"], "accept").fill_null(False))
        for row in reviewing.ranked(published, accepted, of_fields=True).to_pylist():
            ranks.append(row["rank"])
            scan, field = (row["source"], row["scan"]), row["field"]
            known = values.get((*scan, row["page"], field), values.get((*scan, None, field)))
            if known is not None:
                labelled[row["rank"]] = (row["value"] or "") != known
    return ranks, labelled
