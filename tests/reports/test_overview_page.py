"""``index.html``: whether last night was fine, from what is published and nothing else."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs import discard, score
from jobs import report as report_job
from mnist_batch.reports import drift, overview_page
from mnist_batch.runs import publishing
from mnist_batch.runs.run import Run
from mnist_batch.schemas.drift_facts import Alert, Drift
from mnist_batch.schemas.facts import CalibratedOn, Gate, Held, SampleError
from mnist_batch.store import changing, locations
from tests.reports.test_drift_nights import seen_of
from tests.support import run_facts, s3
from tests.support.running import Capture, ran

pytestmark = pytest.mark.long

ALERT = Alert("/scans/<b>", None, None, "contrast", 43.0, 51.0, 56.0, -9.0)


def publish(out: Path | str, night: str, run_id: str | None = None, **facts: object) -> Run:
    """A run as it is published, with a table ``drift``."""
    run = Run(str(out), run_id or f"{night}-1a2b3c4d", night)
    changing.write_whole(run.filesystem, f"{run.table_folder('predictions')}/part-00000.parquet", b"")
    publishing.stage_report(run, {"drift": drift.compare(seen_of(50).night(), [], "none")[1]}, {})
    publishing.publish(run)
    run_facts.commit(run, **{"scans": 100, **facts})
    run.clear_staging()
    return run


def verdict(page: str) -> str:
    """What the page says at its top."""
    [found] = re.findall(r"<h1>(.*?)</h1>", page)
    return str(found)


def test_a_night_without_trouble_is_fine(tmp_path: Path) -> None:
    publish(tmp_path, "2026-11-20", drift=Drift("runs", ("a", "b"), 24, 1, (ALERT,)))
    publish(tmp_path, "2026-11-21", drift=Drift("runs", ("a", "b"), 24))
    page = overview_page.page(str(tmp_path))
    assert verdict(page) == "The last night was fine: 2026-11-21"
    assert page.index("runs/2026-11-21-1a2b3c4d/report.html") < page.index("runs/2026-11-20-1a2b3c4d/report.html")
    assert page.count('<tr class="bad">') == 1
    assert "<svg" in page
    assert not re.search(r"(src|href)=\"(?!runs/)", page)  # it opens without a network


def test_the_same_model_with_a_calibration_of_ones_own_is_told_apart(tmp_path: Path) -> None:
    publish(tmp_path, "2026-11-20", calibration=CalibratedOn({"MNIST": 4_999}, "2026-11-01", own=False))
    publish(tmp_path, "2026-11-21", calibration=CalibratedOn({"run <a>": 600}, "2026-11-20", own=True))
    page = overview_page.page(str(tmp_path))
    newer, older = re.findall(r'<td class="left soft" title="(.*?)">(.*?)</td>', page)
    assert [older[1], newer[1]] == ["d", "d · own"]
    assert older[0].endswith("calibrated on 4,999 digits of MNIST")
    assert newer[0].endswith("calibrated on 600 digits of run &lt;a&gt;")


def test_what_an_operator_has_to_look_at_is_said_first(tmp_path: Path) -> None:
    audit = SampleError(
        accepted=900, drawn=300, labelled=300, wrong=9, low=0.014, high=0.056, labels="x", blake2b="x", stated_at=""
    )
    for facts, said in (
        ({"drift": Drift("runs", ("a", "b"), 24, 1, (ALERT,))}, "contrast of the ink 43.0 grey levels instead of 51.0"),
        ({"target_error": 0.005, "sample_error": audit}, "3.00 % of the accepted are wrong"),
    ):
        out = tmp_path / str(len(said))
        publish(out, "2026-11-20")
        publish(out, "2026-11-21", **facts)
        page = overview_page.page(str(out))
        assert verdict(page) == "Look at the last night: 2026-11-21"
        assert page.index(said) < page.index("<h2>Nights</h2>")
        assert "<b>:" not in page  # a source is no markup


def test_a_run_that_is_not_published_is_said(tmp_path: Path) -> None:
    publish(tmp_path, "2026-11-20")
    run_facts.frozen(Run(str(tmp_path), "begun", "2026-11-21"), [])
    page = overview_page.page(str(tmp_path))
    assert verdict(page) == "Look at the last night: 2026-11-21"
    assert "Published last: 2026-11-20, 100 scans in 1 run" in page
    assert "Run begun is not published: unfinished." in page
    out = tmp_path / "first"
    begun = run_facts.frozen(Run(str(out), "begun", "2026-11-21"), [])
    assert verdict(overview_page.page(str(out))) == "No night is published"
    overview_page.rewrite(str(out))
    assert (out / "index.html").exists()
    begun.clear_staging()
    overview_page.rewrite(str(out))
    assert not (out / "index.html").exists()


def test_a_run_that_is_held_is_there_with_the_reasons(tmp_path: Path) -> None:
    publish(tmp_path, "2026-11-20")
    run = run_facts.frozen(Run(str(tmp_path), "held", "2026-11-21"), [])
    gates = Gate("max_drift", 0, 1, None, 24, False), Gate("min_accuracy", 0.9, 1, 1, 10, True)
    run.hold(Held(gates, 0.05, "2026-11-21T23:00:00.000+00:00", (ALERT,)))
    page = overview_page.page(str(tmp_path))
    assert verdict(page) == "Look at the last night: 2026-11-21"
    said = page[page.index("Run held is not published: held.") : page.index("<h2>Nights</h2>")]
    assert "--max-drift 0: broken, 1 of 24 metrics are unlike the nights before" in said
    assert "contrast of the ink 43.0 grey levels instead of 51.0 to 56.0 grey levels" in said
    assert "a scanner set darker" in said
    assert "min-accuracy" not in said
    assert "<b>:" not in page
    Path(run.staging, "held.json").write_text("{")
    assert "held" in overview_page.page(str(tmp_path))


def test_the_page_is_bounded_whatever_lies_in_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview_page, "MOST_NIGHTS", 5)
    for day in range(10, 19):
        publish(tmp_path, f"2026-11-{day}")
    publish(tmp_path, "2026-11-18", "second-of-the-night")
    damaged = Run(str(tmp_path), "2026-11-17-1a2b3c4d", "2026-11-17")
    Path(damaged.folder, "run.json").write_text("{")
    Path(Run(str(tmp_path), "2026-11-16-1a2b3c4d", "2026-11-16").table_folder("drift"), "report.parquet").write_bytes(
        b"no Parquet"
    )
    page = overview_page.page(str(tmp_path))
    shown = set(re.findall(r'href="runs/(.*?)/report.html"', page))
    assert shown == {"second-of-the-night", *(f"2026-11-{day}-1a2b3c4d" for day in (14, 15, 16, 18))}
    assert "4 earlier nights are not shown" in page
    assert "2026-11-17-1a2b3c4d</code>: damaged" in page


def test_a_page_that_cannot_be_written_is_a_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(tmp_path, "2026-11-20")
    (tmp_path / "index.html").mkdir()  # so that no file can be put there
    with caplog.at_level(logging.WARNING):
        overview_page.rewrite(str(tmp_path))
    assert f"{tmp_path}/index.html is not rewritten" in caplog.text
    (tmp_path / "index.html").rmdir()
    (tmp_path / "index.html").write_bytes(b"\xff damaged")
    overview_page.rewrite(str(tmp_path))
    assert (tmp_path / "index.html").read_text().startswith("<!doctype html>")


@pytest.mark.usefixtures("without_ray")
def test_it_follows_what_is_published_withdrawn_and_labelled(
    ruler: str, tmp_path: Path, capsys: Capture, scans_folder: Callable[..., Path]
) -> None:
    out, folder = tmp_path / "out", scans_folder(30)
    index = out / "index.html"
    for day in (20, 21):
        code, _, said = ran(capsys, score, folder, "--model", ruler, "--out", out, "--run-date", f"2026-11-{day}")
        assert code == 0
        assert f">2026-11-{day}<" in index.read_text()
    assert "86.21 %" not in index.read_text()
    index.unlink()
    assert ran(capsys, report_job, "--out", out, "--run", said["run_id"], "--labels", "parent")[0] == 0
    assert "86.21 %" in index.read_text()
    assert ran(capsys, discard, "--out", out, "--run", said["run_id"], "--dry-run")[0] == 0
    assert str(said["run_id"]) in index.read_text()
    assert ran(capsys, discard, "--out", out, "--run", said["run_id"])[0] == 0
    assert str(said["run_id"]) not in index.read_text()
    assert ">2026-11-20<" in index.read_text()


def test_at_a_store_the_page_is_one_put(store: s3.Proxy) -> None:
    out = f"s3://{store.bucket}/out"
    publish(out, "2026-11-20")
    store.seen.clear()
    overview_page.rewrite(out)
    assert [each.partition("?")[0] for each in store.seen if not each.startswith(("GET", "HEAD"))] == [
        f"PUT /{store.bucket}/out/index.html"
    ]
    filesystem, root = locations.resolve(out)
    assert verdict(locations.read(filesystem, f"{root}/index.html").decode()) == "The last night was fine: 2026-11-20"


@pytest.mark.usefixtures("without_ray")
def test_a_run_that_is_refused_is_on_the_page(
    ruler: str, tmp_path: Path, capsys: Capture, scans_folder: Callable[..., Path]
) -> None:
    out = tmp_path / "out"
    given = (scans_folder(30), "--model", ruler, "--out", out, "--run-id", "first", "--max-unreadable", 0)
    assert ran(capsys, score, *given)[0] == 3
    page = (out / "index.html").read_text()
    assert verdict(page) == "No night is published"
    assert (out / "_staging/first/pages/report.html").exists()
    assert "first</code>: refused" in page
