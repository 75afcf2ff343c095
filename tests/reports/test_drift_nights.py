"""The baseline of a run: which nights it is compared with, whatever lies beside them."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jobs import report as report_job
from jobs import score, verify
from mnist_batch.errors import InputError
from mnist_batch.learning import digits
from mnist_batch.models import likeness
from mnist_batch.reports import drift, drift_nights
from mnist_batch.reports.drift_metrics import Seen
from mnist_batch.runs import publishing
from mnist_batch.runs.run import Run
from mnist_batch.schemas.facts import ModelFacts
from mnist_batch.schemas.likeness_facts import Profile
from mnist_batch.store import changing
from tests.reports.test_drift import rows_of
from tests.support import run_facts
from tests.support.ruler import write_scan
from tests.support.running import Capture, ran

pytestmark = pytest.mark.long

OTHER = ModelFacts("/m", "other", "a", 0.99)


def seen_of(ones: int, scans: int = 100) -> Seen:
    """What is seen of scans of which so many are ones, and the others twos."""
    seen = Seen()
    seen.add(rows_of([1] * ones + [2] * (scans - ones)), np.full((scans, 28, 28), 9, np.uint8))
    return seen


def publish(out: Path, run_id: str, night: str, ones: int = 50, **facts: object) -> Run:
    """A published run with its table ``drift``."""
    run = Run(str(out), run_id, night)
    _, rows = drift.compare(seen_of(ones).night(), [], "none")
    publishing.stage_report(run, {"drift": rows}, {})
    publishing.publish(run)
    run_facts.commit(run, **facts)
    return run


def baseline(out: Path, night: str = "2026-11-21", **options: object) -> tuple[str, ...]:
    run = Run(str(out), "tonight", night)
    said = run_facts.published(run_id="tonight", run_date=night)
    return drift_nights.compared(run, said, seen_of(50), {}, **options)[0].runs


def test_the_last_runs_that_were_scored_alike_are_the_baseline(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for day in range(10, 20):
        publish(tmp_path, f"night-{day}", f"2026-11-{day}")
    publish(tmp_path, "later", "2026-11-22")
    publish(tmp_path, "tonight", "2026-11-21")
    publish(tmp_path, "other-model", "2026-11-20", model=OTHER)
    publish(tmp_path, "retry", "2026-11-20", retries="night-19")
    withdrawn = publish(tmp_path, "withdrawn", "2026-11-20")
    changing.delete_file(withdrawn.filesystem, f"{withdrawn.folder}/run.json")
    damaged = publish(tmp_path, "damaged", "2026-11-20")
    Path(f"{damaged.table_folder('drift')}/report.parquet").write_bytes(b"no Parquet")
    run_facts.commit(Run(str(tmp_path), "older-version", "2026-11-20"))
    with caplog.at_level(logging.WARNING):
        found = baseline(tmp_path, nights=4)
    assert found == ("night-19", "night-18", "night-17", "night-16")
    assert "run damaged is not compared with" in caplog.text
    assert len(baseline(tmp_path)) == 10
    assert baseline(tmp_path, night="2026-11-12") == ("night-12", "night-11", "night-10")
    assert baseline(tmp_path, night="2026-11-11") == ()  # two say nothing of how nights differ
    assert baseline(tmp_path, named=["night-11"]) == ("night-11",)


def test_runs_that_cannot_be_a_baseline_are_a_mistake(tmp_path: Path) -> None:
    publish(tmp_path, "there", "2026-11-20")
    run_facts.commit(Run(str(tmp_path), "older-version", "2026-11-20"))
    drift_nights.check_named(str(tmp_path), ["there"])
    with pytest.raises(InputError, match="--baseline 'gone': no published run .* there are older-version, there"):
        drift_nights.check_named(str(tmp_path), ["there", "gone"])
    with pytest.raises(InputError, match="--baseline older-version: that run has no table drift"):
        drift_nights.check_named(str(tmp_path), ["older-version"])


def test_without_nights_the_strokes_are_compared_with_those_of_the_calibration(tmp_path: Path) -> None:
    def profile(thicker: int) -> Profile:
        """What the model would have seen of other digits of MNIST, in other bins of stroke width."""
        counts = likeness.profile(written.images[500:1000], np.full(500, 0.999), 500, 0).counts
        return Profile(500, 0, counts | {"stroke_width": tuple(np.roll(counts["stroke_width"], thicker).tolist())})

    written = digits.mnist("test")
    run, said, seen = Run(str(tmp_path), "tonight", "2026-11-21"), run_facts.published(), Seen()
    seen.add(rows_of(written.labels[:500].tolist()), written.images[:500])
    alike, _ = drift_nights.compared(run, said, seen, {"own": profile(0)})
    assert (alike.baseline, alike.compared, alike.alerts) == ("calibration", 2, ())
    unlike, _ = drift_nights.compared(run, said, seen, {"own": profile(5)})
    assert [alert.metric for alert in unlike.alerts] == ["stroke_width"]
    assert drift_nights.compared(run, said, seen, {})[0].baseline == "none"


@pytest.mark.usefixtures("without_ray")
def test_a_night_is_compared_with_those_before_it_and_says_how_it_differs(
    ruler: str, tmp_path: Path, capsys: Capture, scans_folder: Callable[..., Path]
) -> None:
    out = tmp_path / "out"
    usual = scans_folder(60)
    ones = tmp_path / "ones"
    for number in range(60):
        write_scan(ones / "1" / f"{number}.png", 1)

    def night(day: int, scans: Path, *options: object) -> tuple[str, dict[str, object]]:
        given = (scans, "--model", ruler, "--out", out, "--run-date", f"2026-11-{day}", *options)
        code, printed, last = ran(capsys, score, *given)
        assert code == 0
        return printed, last

    first, said = night(10, usual)
    assert "drift" not in said
    assert "drift:" not in first
    for day in (11, 12):
        night(day, usual)
    printed, said = night(13, usual)
    assert "drift: none;" in printed
    assert said["drift"] == 0
    printed, said = night(14, ones)
    assert "beyond what the last 4 runs let expect" in printed
    run = Run(str(out), str(said["run_id"]), "2026-11-14")
    found = run.published.drift
    assert (found.alerting, found.baseline, len(found.runs)) == (said["drift"], "runs", 4)
    assert "digit_1" in {alert.metric for alert in found.alerts}
    page = Path(run.folder, "report.html").read_text()
    assert "the digit 1 is more frequent than before" in page
    rows = pq.read_table(f"{run.table_folder('drift')}/report.parquet")
    assert sum(filter(None, rows["alert"].to_pylist())) == found.alerting
    # A report with other labels keeps what was compared when the run was published.
    assert ran(capsys, report_job, "--out", out, "--run", run.run_id, "--labels", "parent")[0] == 0
    assert run.published.drift == found
    assert pq.read_table(f"{run.table_folder('drift')}/report.parquet").equals(rows)
    assert ran(capsys, verify, "--out", out)[0] == 0
    assert night(15, ones, "--baseline", run.run_id)[1]["drift"] == 0
    code, _, last = ran(capsys, score, usual, "--model", ruler, "--out", out, "--baseline", "gone")
    assert code == 2
    assert "--baseline 'gone': no published run" in last["error"]
