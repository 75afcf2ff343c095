"""What is to be scored, how, and where to: checked before anything is listed, opened or written."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from mnist_batch.described import described
from mnist_batch.errors import InputError
from mnist_batch.forms import opening
from mnist_batch.intake import field_values, listing, scans, selecting
from mnist_batch.intake.labels import LabelFile, Labels, ParentLabels, attach_labels, parse_labels
from mnist_batch.models import asking, bundle, certifying, field_rule, vetting
from mnist_batch.models.engines import ENGINES
from mnist_batch.pixels import normalising
from mnist_batch.reading import preprocessing
from mnist_batch.runs import promoting, series
from mnist_batch.schemas.bundle_facts import Calibration
from mnist_batch.schemas.facts import FormFacts, LimitFacts, ModelFacts
from mnist_batch.schemas.likeness_facts import Profile
from mnist_batch.store import locations

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Command:
    """All that decides the rows of a run; each field describes itself. Raises InputError if one breaks a rule."""

    sources: Sequence[str] = described(
        (), "folders and image files, as paths or URIs (s3://...)", metavar="SCANS", positional=True
    )
    manifest: str | None = described(
        None,
        "a CSV or Parquet file that names the scans in a column scan, instead of SCANS; it may have columns source and "
        "label, too",
        metavar="FILE",
    )
    include: Sequence[str] = described(
        (),
        "take only files that match, such as '*.png': by name, by path below their source, or by folder; may be given "
        "again",
        metavar="PATTERN",
    )
    exclude: Sequence[str] = described(
        (), "leave out files that match, by the same rules; may be given again", metavar="PATTERN"
    )
    form: Sequence[str] = described(
        (),
        "read whole pages of this form: a folder with form.json, or a folder of such folders; may be given again",
        metavar="FORM",
    )
    labels: str = described(
        "none",
        "the true digits: none (not known), parent (the name of the folder that a scan is in), or a CSV or Parquet "
        "file with columns scan,label, and page if the pages of a file have their own; a label is 0 to 9, or none "
        "where no valid digit is written; with --form a file with columns scan,page,field,value",
        metavar="HOW",
    )
    ignore_unlisted_labels: bool = described(
        False, "leave out the labels of scans that are not listed, such as those of other days, and count them"
    )
    require_scans: bool = described(False, "end with exit code 2 if there is nothing to score")
    model: str | None = described(
        None,
        "the model bundle, a folder that jobs.train wrote",
        left_out="the one that jobs.promote made the current one of OUT, or the one in this package,",
        metavar="FOLDER",
    )
    out: str
    engine: str = described(
        "onnx", "what computes the answers: onnx, or the slower reference keras", choices=tuple(ENGINES)
    )
    all_nets: bool = described(
        False,
        "let the model's larger nets answer every digit, not only those that its small net is not sure of: this takes "
        "longer, and own labels certify smaller errors",
    )
    target_error: float | None = described(
        None,
        "accept the surest answers, of which at most this share is wrong, such as 0.005, and leave the others for "
        "review",
        left_out="no decisions",
        metavar="SHARE",
    )
    trust_anyway: bool = described(
        False,
        "with --target-error: accept answers even if the scans are unlike those that the model was calibrated on, for "
        "which the share of wrong answers is not known",
    )
    keep_images: bool = described(
        False,
        "publish what the model saw of each scan, as a 28x28 PNG in the column image; runs with and without it are "
        "different runs",
    )
    run_date: str | None = described(None, "the run's date, such as 2026-11-21", left_out="today", metavar="DATE")
    run_id: str | None = described(
        None,
        f"the run's name, such as night-7, of at most {series.LONGEST_NEW} characters",
        left_out="its date and fingerprint",
        metavar="ID",
    )
    shard_size: int | None = described(
        None,
        "scans in a shard",
        left_out=f"{scans.SHARD_SIZE} (more above {scans.SHARD_SIZE * scans.MAX_SHARDS:,} scans), or with --form "
        f"{scans.PAGES_IN_A_SHARD},",
        metavar="N",
    )
    limits: preprocessing.Limits = field(default_factory=preprocessing.Limits)

    def __post_init__(self) -> None:
        if self.sources and self.manifest is not None:
            raise InputError(
                "SCANS and --manifest are both given, but a manifest already names the scans; give only one of them"
            )
        if not self.sources and self.manifest is None:
            raise InputError("SCANS: nothing is given; give one or more folders or files, or --manifest FILE")
        if self.manifest is not None and (self.include or self.exclude):
            raise InputError(
                "--include and --exclude select files of SCANS and cannot be used with --manifest; leave them out"
            )
        if self.engine not in ENGINES:
            raise InputError(f"--engine {self.engine!r}: choose from {', '.join(ENGINES)}")
        if self.trust_anyway and self.target_error is None:
            raise InputError("--trust-anyway: nothing is accepted without --target-error; give both, or leave both out")
        if self.shard_size is not None and self.shard_size < 1:
            raise InputError(f"--shard-size is {self.shard_size}; it has to be at least 1")
        for root in self.roots:
            if f"{locations.absolute(self.out)}/".startswith(root.rstrip("/") + "/"):
                raise InputError(f"--out {self.out!r} is at or below {root!r}, whose files are scans; put it elsewhere")
        if self.form and isinstance(self.truth, ParentLabels):
            raise InputError(
                "--labels parent: with --form the truth is that of the fields; give a file with columns "
                "scan,page,field,value, or leave --labels out"
            )
        for root in self.roots:
            locations.reach("--manifest" if self.manifest else "SCANS", root)
        series.check_new_id(self.first)  # this checks the patterns, the labels, the model and the rule, too

    @cached_property
    def roots(self) -> list[str]:
        """The absolute locations of the sources, or of the manifest."""
        given = self.sources if self.manifest is None else [self.manifest]
        return [locations.absolute(source) for source in given]

    @cached_property
    def truth(self) -> Labels:
        """The labels as a typed choice."""
        return parse_labels(self.labels)

    @cached_property
    def selection(self) -> selecting.Selection:
        """Which files of the sources are scans."""
        return selecting.Selection(
            include=selecting.patterns("--include", self.include),
            exclude=selecting.patterns("--exclude", self.exclude),
            labels=(locations.absolute(self.truth.location),) if isinstance(self.truth, LabelFile) else (),
        )

    @cached_property
    def date(self) -> str:
        """The date of a run that begins with this command."""
        return series.date_of(self.run_date)

    @cached_property
    def bundle(self) -> bundle.Bundle:
        """The model, verified and vetted: the one that is given, or that was promoted, or the one in this package."""
        given = bundle.SHIPPED if self.model is None else self.model
        model = self._promoted.location if self._promoted else given
        locations.reach("--model", model)
        opened = bundle.open_bundle(model)
        if self._promoted:
            promoting.check(opened, self._promoted)
        vetting.vet(opened)
        return opened

    @cached_property
    def _promoted(self) -> promoting.Promoted | None:
        """The current model of the output, if this command follows it."""
        return promoting.read(self.out).current if self.model is None else None

    @cached_property
    def opened_forms(self) -> Sequence[opening.OpenForm]:
        """The forms, read and checked."""
        return opening.open_forms(self.form) if self.form else []

    @property
    def scans_in_a_shard(self) -> int | None:
        """How many scans are cut into a shard; fewer where each is a page, or a file of pages, with many cells."""
        return self.shard_size or (scans.PAGES_IN_A_SHARD if self.form else None)

    @cached_property
    def asks_first(self) -> bool:
        """Whether the model's first net, if it has one, is asked before the others."""
        facts = self.bundle.facts
        if self.all_nets and facts.first_calibration:
            if facts.calibration is None:
                raise InputError(
                    f"--all-nets: {self.bundle.location} was calibrated on a run in which its small net answered, too; "
                    "leave it out, or calibrate on a run with --all-nets"
                )
            return False
        return asking.asks_first(facts, self.target_error, bool(self.form))

    @property
    def _calibration(self) -> Calibration | None:
        return self.bundle.facts.calibration_where(self.asks_first)

    @cached_property
    def rule(self) -> Mapping[str, Any]:
        """What turns the model's outputs into confidences, and decides which answers are accepted."""
        calibration = self._calibration
        rule = certifying.rule(calibration, self.target_error, self.bundle.location)
        if self.bundle.facts.first_calibration and not (self.asks_first or self.all_nets):
            log.info(
                "--target-error %g is certified only where the larger nets answer every digit, which takes longer",
                self.target_error,
            )
        if not self.form or not calibration or self.target_error is None:
            return rule
        return rule | {"field_thresholds": field_rule.thresholds(calibration, self.target_error)}

    @property
    def _rule_as_json(self) -> Mapping[str, Any]:
        rule = dict(self.rule)
        beta, by_source, of_fields = rule.pop("beta"), rule.pop("by_source"), rule.pop("field_thresholds", None)
        if of_fields:
            *thresholds, own = astuple(of_fields)
            rule |= {"field_thresholds": thresholds} | ({"fields_by_source": own} if own else {})
        return rule | ({"beta": astuple(beta)} if beta else {}) | ({"by_source": by_source} if by_source else {})

    @cached_property
    def fingerprint(self) -> str:
        """Eight hex digits of all that decides the rows; two commands with the same fingerprint mean the same runs."""
        return series.fingerprint_of(self.identity)

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the rows."""
        return {
            "sources": sorted(self.roots),
            "manifest": self.manifest is not None,
            "labels": series.digest_of(self.labels) if isinstance(self.truth, LabelFile) else self.labels,
            "model": self.bundle.digest,
            "engine": self.engine,
            "asks_first": self.asks_first,
            "limits": [self.limits.max_bytes, self.limits.max_pixels],
            "preprocessing": normalising.VERSION,  # so that a run is finished with the one it began with
            **self._rule_as_json,
            **self._patterns,
            **self._trust,
            **({"forms": sorted(form.digest for form in self.opened_forms)} if self.form else {}),
            "keep_images": self.keep_images,  # it changes no answer, but it changes what is published
        }

    @cached_property
    def _patterns(self) -> Mapping[str, Sequence[str]]:
        given = {"include": self.selection.include, "exclude": self.selection.exclude}
        return {name: patterns for name, patterns in given.items() if patterns}

    @cached_property
    def profiles(self) -> Mapping[str, Profile]:
        """The profiles of the sets that the model was calibrated on, by name; those that are not known are left out."""
        calibration = self._calibration
        return {each.name: each.profile for each in calibration.sets if each.profile} if calibration else {}

    @cached_property
    def _trust(self) -> Mapping[str, Any]:
        """What decides whether the run may accept answers, beside the rule."""
        if self.target_error is None or not self.profiles:
            return {}
        if self.trust_anyway:
            return {"trust_anyway": True}
        return {"profiles": {name: asdict(profile) for name, profile in self.profiles.items()}}

    @cached_property
    def first(self) -> str:
        """The id of the first run of this command."""
        date = self.date
        return f"{date}-{self.fingerprint}" if self.run_id is None else self.run_id

    def listed(self, ask: listing.Ask | None = None) -> tuple[pa.Table, Mapping[str, int]]:
        """List the current scans with their labels, as ``tables.MANIFEST``; also how many files are no scans, by why.

        ``ask`` is as for ``listing.list_scans``.
        """
        tally = selecting.Tally()
        found = self._found(ask, tally)
        if tally.left_out:
            log.info("not scans: %s", selecting.text(tally))
        if not found.num_rows:
            self._say_nothing_is_there(tally)
        for pattern in self.selection.unmatched(tally):
            log.warning("%s matches nothing", pattern)
        if self.form and isinstance(self.truth, LabelFile):
            forms = [each.form for each in self.opened_forms]
            labelled = field_values.attach(found, self.truth.location, forms, self.ignore_unlisted_labels)
        else:
            labelled = attach_labels(found, self.truth, self.ignore_unlisted_labels)
        return labelled, dict(tally.left_out)

    def _found(self, ask: listing.Ask | None, tally: selecting.Tally, sift: listing.Sift = iter) -> pa.Table:
        if self.manifest is None:
            return listing.list_scans(self.sources, ask=ask, selection=self.selection, tally=tally, sift=sift)
        return listing.read_manifest(self.manifest, sift)

    def _say_nothing_is_there(self, tally: selecting.Tally) -> None:
        nothing = f"there is nothing to score in {', '.join(self.roots)}"
        if tally.left_out:
            nothing += f" (left out: {selecting.text(tally)})"
        if self.require_scans:
            raise InputError(f"--require-scans: {nothing}; check where the scans are written to")
        log.warning("%s: is this the right folder?", nothing)

    def facts(self, listed: pa.Table) -> dict[str, Any]:
        """The fields of ``facts.Opened`` that this command, and what it ``listed``, decide."""
        return {
            "fingerprint": self.fingerprint,
            "sources": tuple(self.roots),
            "labels": "manifest" if self.labels == "none" and listed["label"].null_count < len(listed) else self.labels,
            "labels_by_page": listed["page_labels"].null_count < len(listed),
            "engine": self.engine,
            "all_nets": self.all_nets,
            "asks_first": self.asks_first,
            "preprocessing": normalising.VERSION,
            **self.rule,
            "calibration": self.bundle.calibrated_on,
            "trust_anyway": self.trust_anyway,
            "profiles": dict(self.profiles),
            "shard_size": self.shard_size,
            "keep_images": self.keep_images,
            "limits": LimitFacts(self.limits.max_bytes, self.limits.max_pixels),
            "model": ModelFacts(
                self.bundle.location,
                self.bundle.digest,
                self.bundle.facts.architecture,
                self.bundle.facts.test.accuracy,
                self._promoted.at if self._promoted else None,
            ),
            "forms": tuple(
                FormFacts(
                    each.location,
                    each.form.name,
                    each.form.version,
                    each.digest,
                    max((field.digits.most for field in each.form.fields), default=0),
                )
                for each in self.opened_forms
            ),
            "include": tuple(self.selection.include),
            "exclude": tuple(self.selection.exclude),
        }
