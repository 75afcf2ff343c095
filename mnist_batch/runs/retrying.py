"""Score again the scans of a published run that failed for a passing reason, as a run of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mnist_batch.described import flag
from mnist_batch.errors import InputError
from mnist_batch.intake import listing, scans
from mnist_batch.intake.labels import with_page_labels
from mnist_batch.pixels import normalising
from mnist_batch.reading import preprocessing
from mnist_batch.runs import parts, series
from mnist_batch.runs.command import Command
from mnist_batch.runs.run import Run
from mnist_batch.schemas import tables
from mnist_batch.schemas.facts import Published
from mnist_batch.schemas.likeness_facts import Judgement
from mnist_batch.statuses import PASSING
from mnist_batch.store import locations


@dataclass(frozen=True, kw_only=True)
class Retry(Command):
    """The scans of ``retried`` that have a row in ``PASSING``, to be scored as that run was."""

    retried: Run
    retried_facts: Published

    def __post_init__(self) -> None:
        was, location = self.retried_facts.model, self.bundle.location
        if self.bundle.digest != was.digest:
            raise InputError(
                f"--retry {self.retried.run_id}: the model at {location} is {self.bundle.digest}, and that run was "
                f"scored with {was.digest}; restore it, or score all scans again without --retry"
            )
        for name, value in self.rule.items():
            if value != (recorded := getattr(self.retried_facts, name)):
                raise InputError(
                    f"--retry {self.retried.run_id}: the calibration of the model at {location} has changed, {name} is "
                    f"{value} and was {recorded}; restore it, or score all scans again without --retry"
                )
        forms = {each.digest for each in self.retried_facts.forms}
        if changed := [each.location for each in self.opened_forms if each.digest not in forms]:
            raise InputError(
                f"--retry {self.retried.run_id}: the form at {changed[0]} is not the one of that run; restore it, or "
                "score all scans again without --retry"
            )
        super().__post_init__()

    @cached_property
    def fingerprint(self) -> str:
        """Eight hex digits of the retried run and of all that decides the rows of the retry."""
        limits = [self.limits.max_bytes, self.limits.max_pixels]
        return series.fingerprint_of(
            {
                "retries": self.retried.run_id,
                "as": self.retried_facts.fingerprint,
                "limits": limits,
                "preprocessing": normalising.VERSION,
            }
        )

    @cached_property
    def first(self) -> str:
        """The id of the first retry of the run."""
        if self.run_id is not None:
            return self.run_id
        name = f"{self.retried.run_id}-retry"
        if len(name) > series.LONGEST_NEW:
            raise InputError(
                f"--retry {self.retried.run_id}: {name} is too long a name for its retry; give --run-id, of at most "
                f"{series.LONGEST_NEW} characters"
            )
        return name

    @cached_property
    def failed(self) -> Mapping[tuple[str, str], list[int | None]]:
        """The scans to be scored again, by source and scan, each with the labels of its rows."""
        failed: dict[tuple[str, str], list[int | None]] = {}
        for part in parts.read_parts(self.retried, [*tables.KEY, "label", "status"]):
            again = {*scans.identities(part.filter(_may_pass(part)))}
            for key, label in zip(scans.identities(part), part["label"].to_pylist(), strict=True):
                if key in again:
                    failed.setdefault(key, []).append(label)
        return failed

    def listed(self, ask: listing.Ask | None = None) -> tuple[pa.Table, Mapping[str, int]]:  # noqa: ARG002
        """These scans as they are now, with the labels they had, as ``tables.MANIFEST``; nothing is left out."""
        sources, names = [source for source, _ in self.failed], [scan for _, scan in self.failed]
        paths = [listing.path_of_named(*key) for key in self.failed]
        if self.form:
            manifest = listing.examined(sources, names, paths, [None] * len(paths))
            return tables.with_column(manifest, "field_values", [*map(self._field_values.get, self.failed)]), {}
        by_page = self.retried_facts.labels_by_page
        of_scans = [None if by_page else of_rows[0] for of_rows in self.failed.values()]
        manifest = listing.examined(sources, names, paths, of_scans)
        return (with_page_labels(manifest, [*self.failed.values()]) if by_page else manifest), {}

    @cached_property
    def _field_values(self) -> Mapping[tuple[str, str], list[dict[str, Any]]]:
        """The labels of the fields of these scans: those that were kept with their failed pages."""
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        run = self.retried
        for path in parts.table_paths(run, "pages").values():
            pages = locations.read_table(run.filesystem, path, ["source", "scan", "field_values"])
            if "field_values" in pages.column_names:  # an earlier version did not keep them
                kept = pages.filter(pages["field_values"].is_valid())
                found |= dict(zip(scans.identities(kept), kept["field_values"].to_pylist(), strict=True))
        return found

    def facts(self, listed: pa.Table) -> dict[str, Any]:
        """The fields of ``facts.Opened`` that the retried run and these scans decide."""
        was = self.retried_facts
        same = {"sources": was.sources, "labels": was.labels, "judged": Judgement(was.likeness, was.paler_than)}
        return super().facts(listed) | same | {"retries": self.retried.run_id}


def command(
    out: str,
    retries: str,
    *,
    model: str | None = None,
    max_bytes: int | None = None,
    max_pixels: int | None = None,
    run_id: str | None = None,
    shard_size: int | None = None,
    **given: Any,
) -> Retry:
    """The command that scores the failed scans of the published run ``retries`` again.

    All arguments are those of that run, but limits may be higher. ``given`` are further arguments of the command.
    Raises InputError if one of them contradicts that run.
    """
    try:
        run, facts = series.published_run(out, retries)
    except InputError as error:
        raise InputError(str(error).replace("--run ", "--retry ", 1)) from None
    for name, value in given.items():
        if value != (was := getattr(facts, name)):
            raise InputError(
                f"{flag(name)} {value}: run {retries} has {was}, and so has its retry; leave {flag(name)} out"
            )
    return Retry(
        model=model or facts.model.location,
        out=out,
        sources=facts.sources,
        form=[each.location for each in facts.forms],
        engine=facts.engine,
        all_nets=facts.all_nets,
        target_error=facts.target_error,
        trust_anyway=facts.trust_anyway,
        shard_size=shard_size,
        limits=_limits(facts, max_bytes=max_bytes, max_pixels=max_pixels),
        keep_images=facts.keep_images,
        run_date=run.run_date,
        run_id=run_id,
        retried=run,
        retried_facts=facts,
    )


def _limits(retried: Published, **given: int | None) -> preprocessing.Limits:
    """The limits of the retry of a run: its own, but for those that are given; InputError if one is lower."""
    limits = {}
    for name, value in given.items():
        had = getattr(retried.limits, name)
        limits[name] = had if value is None else value
        if limits[name] < had:
            raise InputError(f"{flag(name)} {value}: run {retried.run_id} has {had}; a retry may have more, not less")
    return preprocessing.Limits(**limits)


def _may_pass(rows: pa.Table) -> pa.ChunkedArray:
    return pc.is_in(rows["status"].cast(pa.string()), pa.array(PASSING))
