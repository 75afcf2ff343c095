"""Score what is new of some scans, report, and publish it if it keeps the gates: one command for every night."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from mnist_batch.errors import GateFailed, InputError, JobError
from mnist_batch.pipeline.settings import Settings
from mnist_batch.reading.preprocessing import Limits
from mnist_batch.reports.gates import Gates
from mnist_batch.runs.increments import NewScans

from . import config, flags, score, session

DESCRIPTION = """\
Score what is new of some scans, report, and publish it if it keeps the gates.

  python -m jobs.night --config night.toml
  python -m jobs.night /data/scans --form forms/turnout --target-error 0.005 --max-review 0.2 --out out
  python -m jobs.night --publish-anyway RUN_ID --reason 'a new scanner, checked by hand' --out out

New is what no published run of the output has scored, by its bytes: a scan that was renamed or moved is not scored
again, and one that was changed is. If nothing is new, nothing is done. A run that breaks a gate is held: it is kept
with its report and not published, until a person publishes it with --publish-anyway or discards it (jobs.discard).
The file of --config has the same names as the flags; its relative paths begin at its own folder. The last line is
also in OUT/_last/night.json, for schedulers that see no output.
Exit codes: 0 done, 2 bad arguments or input, 3 too many unreadable scans, 4 a gate was not kept, 5 the rows are not
the scans listed or an internal fault, 75 another process is at work on the run."""

PATHS = ("scans", "manifest", "form", "labels", "model", "out")  # keys of the file whose values are paths
LAST = "_last/night.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and the file of settings, score the night; returns the exit code."""
    parser = _parser()
    given = parser.parse_args(argv)
    outs = list[str]()  # where the last line is kept, as soon as it is known

    def work() -> Mapping[str, Any]:
        if given.config is not None:
            told = argparse.Namespace(**config.read(given.config, parser, PATHS))
            vars(given).update(vars(parser.parse_args(argv, told)))  # what is given as a flag counts
        outs.extend([] if given.dry_run else [given.out])
        if given.publish_anyway is not None:
            return _publish_anyway(given)
        if given.reason is not None:
            raise InputError("--reason says why a run is published; it goes with --publish-anyway RUN_ID")
        return _nights(given)

    return session.run(work, partial(_keep, outs))


def _parser() -> argparse.ArgumentParser:
    parser = session.parser("jobs.night", DESCRIPTION)
    parser.add_argument("--config", metavar="FILE", help="a TOML file with these settings; a flag counts more")
    what = parser.add_argument_group("what to score")
    flags.add(what, NewScans, "sources", "manifest", "include", "exclude", "form", "labels", "require_scans", "rescore")
    what.add_argument(
        "--dry-run", action="store_true", help="check all arguments, list the scans and say what would be done"
    )
    how = parser.add_argument_group("with what, and where to")
    flags.add_out(how, "where tables and reports are published")
    flags.add(how, NewScans, "model", "engine", "all_nets", "target_error", "trust_anyway")
    flags.add(how, NewScans, "keep_images", "run_date", "run_id")
    flags.add(how, Settings, "baseline", "baseline_nights")
    gates = parser.add_argument_group("gates: what a run must keep to be published")
    flags.add(gates, Settings, "max_unreadable")
    flags.add(gates, Gates, "min_accuracy", "min_recall", "max_review", "max_drift")
    gates.add_argument("--publish-anyway", metavar="RUN_ID", help="publish this run, which is held; nothing is scored")
    gates.add_argument("--reason", metavar="TEXT", help="why it is published; recorded in run.json")
    score.add_limits_and_place(parser, NewScans)
    return parser


def _nights(given: argparse.Namespace) -> Mapping[str, Any]:
    """Score what the arguments mean; returns the facts for the last line."""
    from mnist_batch import nights  # after parsing: --help need not wait for Ray
    from mnist_batch.reports import plots

    gates, settings = Gates(**flags.given(given, Gates)), score.settings_of(given)
    command = NewScans(
        out=given.out,
        limits=Limits(**flags.given(given, Limits)),
        ignore_unlisted_labels=True,
        keeps_ledger=not given.dry_run,
        **flags.given(given, NewScans),
    )
    gates.check(command.target_error)
    if given.dry_run:
        return _previewed(command)
    plots.import_ahead()
    finished: list[str] = []
    try:
        for asked in nights.due(command):
            night = nights.score(asked, settings, gates, partial(session.connect, given.address))
            said = _told(night)
            finished += [said["run_id"]] if night.run else []
    except GateFailed as held:
        held.facts = _with_late_truth(command, {**held.facts, "runs": finished})
        raise
    return _with_late_truth(command, {**said, "runs": finished})


def _with_late_truth(command: NewScans, said: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is said of tonight, with the late labels: they are added last, since tonight's run has what was changed."""
    from mnist_batch import nights

    try:
        late = nights.late_truth(command)
    except JobError as error:
        error.facts = {**said, **error.facts}  # tonight's run is as it is
        raise
    for each in late:
        print(
            f"labels for run {each.run_id}: {each.labelled:,} instead of {each.labelled_before:,}, accuracy "
            f"{_share(each.accuracy)} instead of {_share(each.accuracy_before)}"
        )
    return {**said, "late_truth": [asdict(each) for each in late]}


def _share(accuracy: float | None) -> str:
    return "unknown" if accuracy is None else f"{100 * accuracy:.2f} %"


def _previewed(command: NewScans) -> Mapping[str, Any]:
    from mnist_batch import nights
    from mnist_batch.runs import increments, previewing

    try:
        found = previewing.preview(command)
    except increments.NothingNew as nothing:
        print(nights.text(nothing.increment))
        return {"status": "dry_run", "would": "nothing", "scans": asdict(nothing.increment)}
    if found["would"] not in ("resume", "held"):
        print(nights.text(command.increment))
    print(previewing.text(found))
    return {"status": "dry_run", **found}


def _publish_anyway(given: argparse.Namespace) -> Mapping[str, Any]:
    from mnist_batch import nights

    return _told(nights.publish_anyway(given.out, given.publish_anyway, given.reason or ""))


def _told(night: Any) -> dict[str, Any]:
    """Print how a night ended; returns the same for the last line."""
    from mnist_batch import nights
    from mnist_batch.reports import gates

    from . import printing

    counts = asdict(night.increment) if night.increment else None
    if night.increment:
        print(nights.text(night.increment))
    if night.run is None:
        print("nothing is new: nothing was done")
        return {"state": "nothing_new", "run_id": None, "scans": counts}
    run, published = night.run, night.published
    print(printing.run_text(run, published))
    for gate in published.gates:
        print(gates.sentence(gate))
    return {
        "state": "published",
        "run_id": run.run_id,
        "scans": counts,
        "gates": [asdict(gate) for gate in published.gates],
        "alerts": [asdict(alert) for alert in published.drift.alerts] if published.drift else [],
        **({"anyway": asdict(published.anyway)} if published.anyway else {}),
        **printing.facts(run, published),
    }


def _keep(outs: Sequence[str], summary: Mapping[str, Any]) -> None:
    """Write the last line where a scheduler finds it."""
    from mnist_batch.store import changing, locations

    for out in outs:
        filesystem, root = locations.resolve(locations.absolute(out))
        changing.write_whole(filesystem, f"{root}/{LAST}", json.dumps(summary, indent=2).encode() + b"\n")


if __name__ == "__main__":
    session.leave(main)
