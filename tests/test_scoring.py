"""The pipeline on a real Ray: every scan in comes out once, whatever the number of actors, and only once."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from mnist_batch import scoring
from mnist_batch.errors import BooksError, InputError
from mnist_batch.intake import listing
from mnist_batch.pipeline import actors
from mnist_batch.pipeline.pools import Pools
from mnist_batch.pipeline.settings import Settings
from mnist_batch.reports import report
from mnist_batch.reports.aggregates import Aggregates
from mnist_batch.runs import opening, parts, verifying
from mnist_batch.runs.command import Command
from mnist_batch.schemas import tables
from mnist_batch.statuses import READ
from tests.support.ruler import calibrated
from tests.support.running import ONE_EACH, opened, predictions

Make = Callable[..., Path]


def files(folder: Path) -> dict[str, int]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): path.stat().st_mtime_ns for path in found}


@pytest.mark.usefixtures("shared_ray")
def test_a_long_listing_is_shared_by_the_cluster(
    scans_folder: Make, ruler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, called = scans_folder(40), []
    for name in ("0/.DS_Store", "9/Thumbs.db"):
        (folder / name).write_bytes(b"of a desktop")
    monkeypatch.setattr(opening, "SHORT_SECONDS", 60)
    without = {"exclude": ["*-0008.png", "7"]}
    alone = opened([folder], ruler, tmp_path / "alone", connect=lambda: called.append("for few"), **without)
    monkeypatch.setattr(listing, "ALONE", 5)
    shared = opened([folder], ruler, tmp_path / "shared", connect=lambda: called.append("for many"), **without)
    assert set(called) == {"for many"}
    assert alone.opened.scans == shared.opened.scans == 35
    assert alone.opened.left_out == shared.opened.left_out == {"desktop": 2, "excluded": 2}
    assert alone.opened.listing == shared.opened.listing


WITHOUT_RAY = (
    "import sys; from jobs import score; code = score.main(sys.argv[1:]); sys.exit(code or 'ray' in sys.modules)"
)


@pytest.mark.long
def test_a_job_with_a_single_shard_does_not_even_import_ray_and_is_finished_when_it_was_killed(
    scans_folder: Make, ruler: str, tmp_path: Path
) -> None:
    (tmp_path / "points").mkdir()
    (tmp_path / "points/part written").write_text("kill")
    job = [sys.executable, "-c", WITHOUT_RAY, scans_folder(30), "--model", ruler, "--out", tmp_path / "out"]
    asked = partial(subprocess.run, job, capture_output=True, text=True, check=False)
    for code in (-signal.SIGKILL, 0, 0):  # the last one finds it published
        done = asked(env=os.environ | {"MNIST_BATCH_FAILPOINTS": str(tmp_path / "points"), "RAY_ADDRESS": ""})
        assert done.returncode == code, done.stderr
    [part] = (tmp_path / "out/predictions").rglob("*.parquet")
    rows = pq.read_table(part, partitioning=None)
    assert sorted(rows["scan"].to_pylist()) == sorted(f"{number % 10}/scan-{number:04d}.png" for number in range(30))
    assert [row for row in rows["status"].to_pylist() if row != "ok"] == ["not_an_image"]


def test_ray_is_there_before_a_long_listing_ends(
    scans_folder: Make, ruler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, there, list_scans = scans_folder(5), threading.Event(), listing.list_scans

    def slowly(*arguments: Any, **options: Any) -> pa.Table:
        assert there.wait(60)
        return list_scans(*arguments, **options)

    monkeypatch.setattr(listing, "list_scans", slowly)
    run = opened([folder], ruler, tmp_path / "out", connect=there.set)
    assert run.opened.scans == 5


def test_a_ray_that_is_not_there_is_said_after_a_long_listing(
    scans_folder: Make, ruler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> None:
        asked.set()
        raise InputError("--address nowhere")

    def slowly(*arguments: Any, **options: Any) -> pa.Table:
        assert asked.wait(60)
        return list_scans(*arguments, **options)

    folder, asked, list_scans = scans_folder(5), threading.Event(), listing.list_scans
    monkeypatch.setattr(listing, "list_scans", slowly)
    with pytest.raises(InputError, match="--address nowhere"):
        opened([folder], ruler, tmp_path / "out", connect=nowhere)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.suffix == ".json"]


@pytest.mark.usefixtures("shared_ray")
def test_every_scan_comes_out_once_and_the_number_of_actors_changes_nothing(
    scans_folder: Make, ruler: str, tmp_path: Path
) -> None:
    folder = scans_folder(110)
    one = opened([folder], ruler, tmp_path / "one")
    facts = scoring.score(one, ONE_EACH)
    two = opened([folder], ruler, tmp_path / "two", shard_size=7)
    scoring.score(two, Settings(Pools(2, 2)))
    none = opened([folder], ruler, tmp_path / "none", shard_size=110)
    scoring.score(none, Settings(here=True), lambda: pytest.fail("a single shard needs no Ray"))
    rows = predictions(one)
    assert rows.schema.equals(tables.published(tables.PREDICTIONS))
    assert rows["scan"].to_pylist() == sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    assert rows.equals(predictions(two))
    assert rows.equals(predictions(none))

    # The folder was made so that these are known: n % 23 == 22 is no image, n % 7 == 6 is read as the next digit.
    for row in rows.to_pylist():
        number = int(row["scan"][7:11])
        if number % 23 == 22:
            assert (row["status"], row["digit"], row["decision"]) == ("not_an_image", None, "review")
        else:
            assert (row["status"], row["digit"]) == ("ok", (number + (number % 7 == 6)) % 10)
        assert row["label"] == number % 10
    error = facts.totals.expected_calibration_error
    assert error
    assert 0 < error < 1
    assert asdict(facts.totals) | {"statuses": {}, "answers": {}} == {
        "expected_calibration_error": error,
        "rows": 110,
        "scored": 106,
        "blank": 0,
        "refused": 0,
        "unreadable": 4,
        "statuses": {},
        "answers": {},
        "labelled": 106,
        "correct": 91,
        "accuracy": 91 / 106,
        "accepted": None,
        "review": None,
        "accepted_labelled": None,
        "accepted_errors": None,
        "labelled_none": 0,
        "none_refused": 0,
        "none_answered": 0,
        "none_unreadable": 0,
        "none_accepted": None,
    }
    per_class = pq.read_table(one.table_folder("per_class"), partitioning=None)
    confusion = pq.read_table(one.table_folder("confusion"), partitioning=None)
    assert sum(per_class["correct"].to_pylist()) == 91
    assert sum(confusion["count"].to_pylist()) == 110
    assert [file.rows for file in facts.files] == [20, 20, 20, 20, 20, 10]
    assert not (tmp_path / "one/_staging" / one.run_id).exists()


@pytest.mark.usefixtures("shared_ray")
def test_the_same_command_again_does_nothing_and_new_scans_make_a_new_run(
    scans_folder: Make, ruler: str, tmp_path: Path
) -> None:
    folder, out = scans_folder(15), tmp_path / "out"
    first = opened([folder], ruler, out)
    published = scoring.score(first, ONE_EACH)
    before = files(out)
    again = opened([folder], ruler, out)
    assert (again, scoring.score(again, ONE_EACH)) == (first, published)
    assert files(out) == before

    (folder / "3/another.png").write_bytes((folder / "3/scan-0003.png").read_bytes())
    second = opened([folder], ruler, out)
    assert second.run_id == f"{first.run_id}-2"
    assert scoring.score(second, ONE_EACH).scans == 16
    for name in ("published.sql", "index.html"):  # which name the new run, too
        del before[str(out / name)]
    assert {path: time for path, time in files(out).items() if path in before} == before
    assert opened([folder], ruler, out) == second
    assert len(pq.read_table(out / "predictions")) == 31


@pytest.mark.usefixtures("shared_ray")
def test_a_run_that_keeps_images_is_another_run(scans_folder: Make, ruler: str, tmp_path: Path) -> None:
    folder, out = scans_folder(25), tmp_path / "out"
    first = opened([folder], ruler, out)
    scoring.score(first, ONE_EACH)
    second = opened([folder], ruler, out, keep_images=True)
    assert second.run_id != first.run_id
    assert scoring.score(second, ONE_EACH).keep_images is True
    assert opened([folder], ruler, out, keep_images=True).published
    without, kept = (pq.read_table(run.table_folder("predictions"), partitioning=None) for run in (first, second))
    assert without.drop_columns(["image", "run"]).equals(kept.drop_columns(["image", "run"]))
    assert without["image"].null_count == 25
    assert kept["image"].is_valid().equals(kept["digit"].is_valid())
    assert kept["normalisation"].is_valid().equals(kept["digit"].is_valid())


@pytest.mark.usefixtures("shared_ray")
def test_a_run_goes_on_where_it_stopped_on_its_frozen_manifest(scans_folder: Make, ruler: str, tmp_path: Path) -> None:
    folder, out = scans_folder(50), tmp_path / "out"
    run = opened([folder], ruler, out)
    facts = run.opened
    assert facts is not None
    list(scoring.run_pipeline(run, facts, [1], Settings(Pools(1, 1))))  # what a killed run leaves: one part of three
    safe = files(out / "_staging" / run.run_id / "parts")
    assert len(safe) == 1
    (folder / "3/late.png").write_bytes(b"arrived since")
    resumed = opened([folder], ruler, out)
    assert resumed == run
    published = scoring.score(resumed, ONE_EACH)
    moved = {Path(path).stem: time for path, time in files(out / "predictions").items()}
    assert all(moved[Path(path).name] == time for path, time in safe.items())
    assert (published.scans, published.resumed_shards) == (50, 1)
    assert "3/late.png" not in predictions(run)["scan"].to_pylist()
    following = opened([folder], ruler, out)
    assert (following.run_id, following.opened and following.opened.scans) == (f"{run.run_id}-2", 51)


@pytest.mark.usefixtures("shared_ray")
def test_an_empty_folder_is_published_as_an_empty_typed_table(ruler: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    run = opened([tmp_path / "in"], ruler, tmp_path / "out")
    assert scoring.score(run, ONE_EACH).totals.rows == 0
    assert predictions(run).schema.equals(tables.published(tables.PREDICTIONS))
    assert len(pq.read_table(run.table_folder("per_class"), partitioning=None)) == 10
    assert opened([tmp_path / "in"], ruler, tmp_path / "out").published


@pytest.mark.usefixtures("shared_ray")
def test_a_store_without_renames_gets_the_same_tables(scans_folder: Make, ruler: str, tmp_path: Path) -> None:
    folder = scans_folder(30)
    run = opened([folder], ruler, f"fsspec+file://{tmp_path}/out")
    facts = scoring.score(run, ONE_EACH)
    assert sorted(file.path for file in facts.files) == sorted(
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out/predictions").rglob("*.parquet")
    )
    asked = Command(
        sources=[f"fsspec+file://{folder}"],
        model=f"fsspec+file://{ruler}",
        out=str(tmp_path / "b"),
        labels="parent",
    )
    with opening.open_run(asked) as remote:
        scoring.score(remote, ONE_EACH)
    columns = ["scan", "status", "digit", "label", "confidence"]
    assert predictions(remote).select(columns).equals(predictions(run).select(columns))


@pytest.mark.usefixtures("shared_ray")
def test_a_part_altered_after_it_was_written_is_scored_again(scans_folder: Make, ruler: str, tmp_path: Path) -> None:
    folder, out = scans_folder(50), tmp_path / "out"
    run = opened([folder], ruler, out)
    assert run.opened is not None
    assert len(list(scoring.run_pipeline(run, run.opened, [0, 1], Settings(Pools(1, 1))))) == 2
    parts = out / "_staging" / run.run_id / "parts"
    shorter = pq.read_table(parts / "part-00001").slice(1)
    pq.write_table(shorter, parts / "part-00001")  # a Parquet file, and not the one that was written
    safe = (parts / "part-00000").stat().st_mtime_ns
    facts = scoring.score(run, ONE_EACH)
    assert [file.rows for file in facts.files] == [20, 20, 10]
    first, *_ = sorted((out / "predictions").rglob("*.parquet"))
    assert first.stat().st_mtime_ns == safe
    verifying.check_predictions(run, facts.files)


@pytest.mark.usefixtures("shared_ray")
def test_rows_that_are_not_the_scans_listed_are_not_published(scans_folder: Make, ruler: str, tmp_path: Path) -> None:
    folder, out = scans_folder(30), tmp_path / "out"
    run = opened([folder], ruler, out)
    assert run.opened is not None
    assert len(list(scoring.run_pipeline(run, run.opened, [0, 1], Settings(Pools(1, 1))))) == 2
    shorter = next(parts.read_parts(run, tables.PREDICTIONS.names)).slice(1)
    gathered = Aggregates.of_run(None)
    gathered.add(shorter)
    parts.write_rows(run, 0, 19, shorter, gathered.table())
    with pytest.raises(BooksError, match="30 scans listed, 29 in the parts"):
        scoring.score(run, ONE_EACH)
    assert not (out / "predictions").exists()
    assert not (out / "runs" / run.run_id / "run.json").exists()


@pytest.mark.usefixtures("shared_ray")
def test_a_target_error_decides_what_is_accepted(scans_folder: Make, ruler: str, tmp_path: Path) -> None:
    model = calibrated(ruler, tmp_path / "model", threshold=0.7)
    folder = Path(scans_folder(60))
    (folder / "blank.pgm").write_bytes(b"P5 28 28 255\n" + bytes([255]) * 784)
    run = opened([str(folder)], model, tmp_path / "out", target_error=0.005)
    facts = scoring.score(run, ONE_EACH)
    threshold = facts.threshold
    assert (facts.target_error, facts.temperature, threshold) == (0.005, 1.0, pytest.approx(0.7))
    for row in predictions(run).to_pylist():
        sure = row["confidence"] is not None and row["confidence"] >= threshold
        assert row["decision"] == ("accept" if sure else "review")
    decisions = predictions(run)["decision"].to_pylist()
    assert [getattr(facts.totals, name) for name in ("accepted", "review")] == [
        decisions.count("accept"),
        decisions.count("review"),
    ]
    assert 0 < decisions.count("accept") < 60
    published = {name: pq.read_table(run.table_folder(name), partitioning=None) for name in tables.REPORT}
    assert all(published[name].schema.equals(tables.published(schema)) for name, schema in tables.REPORT.items())
    page = (tmp_path / "out/runs" / run.run_id / "report.html").read_text()
    assert f"<b>{decisions.count('accept')}</b>accepted" in page
    # Under this heading is what could not be read, and a blank page could.
    assert facts.totals.blank
    statuses = re.findall(r"<tr><td>(\w+)</td>", page.split("<h2>Could not be read</h2>")[1])
    assert statuses
    assert not set(statuses) & set(READ)

    # Without labels nothing is said about mistakes; with those it had, the report is the same again.
    (tmp_path / "bare.csv").write_text("scan,label\n2/scan-0022.png,2\n")  # of a scan that is no image
    totals = report.rebuild(run.out, run.run_id, str(tmp_path / "bare.csv"))[1].totals
    assert (totals.accepted, totals.accepted_errors) == (decisions.count("accept"), None)
    bare = pq.read_table(run.table_folder("risk_coverage"), partitioning=None)
    assert bare["risk"].null_count == bare["errors"].null_count == len(bare)
    assert "cannot be said without labels" in (tmp_path / "out/runs" / run.run_id / "report.html").read_text()
    assert report.rebuild(run.out, run.run_id)[1].totals == totals  # what the last report had is kept
    totals = report.rebuild(run.out, run.run_id, "none")[1].totals
    assert totals == facts.totals
    for name, table in published.items():
        assert pq.read_table(run.table_folder(name), partitioning=None).equals(table)


def test_what_decides_the_rows_decides_the_run(scans_folder: Make, ruler: str, tmp_path: Path) -> None:
    folder, out = scans_folder(5), tmp_path / "out"
    truth = tmp_path / "truth.csv"
    truth.write_text("scan,label\n0/scan-0000.png,0\n")
    ids = [
        opened([folder], ruler, out).run_id,
        opened([folder], ruler, out, labels="none").run_id,
        opened([folder], ruler, out, labels=str(truth)).run_id,
        opened([folder], ruler, out, engine="keras").run_id,
        opened([folder / "0"], ruler, out).run_id,
        opened([folder], calibrated(ruler, tmp_path / "a"), out, target_error=0.005).run_id,
        opened([folder], calibrated(ruler, tmp_path / "b", threshold=0.8), out, target_error=0.005).run_id,
        opened([folder], calibrated(ruler, tmp_path / "c"), out, target_error=0.004).run_id,
        opened([folder], calibrated(ruler, tmp_path / "d", temperature=2), out).run_id,
    ]
    truth.write_text("scan,label\n0/scan-0000.png,1\n")
    ids.append(opened([folder], ruler, out, labels=str(truth)).run_id)
    assert len(set(ids)) == len(ids)
    assert opened([folder], ruler, out, shard_size=3).run_id == ids[0]
    assert opened([Path(os.path.relpath(folder))], ruler, out).run_id == ids[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": []}, "SCANS: nothing is given"),
        ({"manifest": "list.parquet"}, "SCANS and --manifest"),
        ({"engine": "abacus"}, "--engine 'abacus': choose from onnx, keras"),
        ({"shard_size": 0}, "--shard-size is 0"),
        ({"target_error": 0.01}, "--target-error 0.01: model .* has no calibration"),
        ({"target_error": 1.0}, "--target-error is 1; it has to be a share"),
        ({"run_date": "21.11.2026"}, "--run-date '21.11.2026': give a date such as"),
        ({"model": "/nowhere"}, "--model /nowhere: no model bundle there"),
        ({"labels": "/nowhere.csv"}, "--labels '/nowhere.csv': no such file"),
        ({"sources": ["/nowhere"]}, "SCANS: there is no file or folder '/nowhere'"),
        ({"run_id": "a/b"}, "--run-id 'a/b'"),
        ({"sources": ["/"]}, "--out .* is at or below '/'"),
        ({"sources": ["s3://key:secret@bucket/x"]}, "s3://key:...: a location is written into tables and logs"),
    ],
)
def test_an_argument_that_breaks_a_rule_is_named(
    scans_folder: Make,
    ruler: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setattr(opening, "SHORT_SECONDS", 60)
    arguments = {"sources": [str(scans_folder(1))], "model": ruler, "out": str(tmp_path / "out")} | options
    called: list[str] = []
    with (
        pytest.raises(InputError, match=message),
        opening.open_run(Command(**arguments), partial(called.append, "Ray")),
    ):
        pass
    assert called == []  # no Ray is started for a mistake
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_nothing_to_score_is_a_mistake_where_scans_are_required(ruler: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="--require-scans: there is nothing to score in .*/in"):
        opened([tmp_path / "in"], ruler, tmp_path / "out", labels="none", require_scans=True)


def test_a_place_that_cannot_be_written_to_is_said(scans_folder: Make, ruler: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="--out: .*/file/out/_staging cannot be written to"):
        opened([scans_folder(1)], ruler, tmp_path / "file/out")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.usefixtures("shared_ray")
def test_classifiers_get_the_gpus_that_are_asked_for(
    scans_folder: Make, ruler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray counts a GPU that is not there as it counts one that is, and says so to the actors that have it."""

    class Classify(actors.Classify):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            given = ray.get_runtime_context().get_assigned_resources().get("GPU")
            (tmp_path / "given").write_text(f"{given} {os.environ['CUDA_VISIBLE_DEVICES']}")

    monkeypatch.setattr(scoring, "Classify", Classify)
    facts = scoring.score(opened([scans_folder(20)], ruler, tmp_path / "out"), Settings(Pools(gpus_per_classifier=0.5)))
    assert facts.totals.rows == 20
    assert (tmp_path / "given").read_text() == "0.5 0"
