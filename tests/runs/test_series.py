"""Which run a command means, and that only one process is at work on it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs import score
from mnist_batch.errors import InputError, Locked
from mnist_batch.models import bundle
from mnist_batch.runs import opening, series
from mnist_batch.runs.command import Command
from mnist_batch.runs.run import Run
from mnist_batch.schemas.facts import ModelFacts
from tests.support import run_facts
from tests.support.ruler import write_scan
from tests.support.running import Capture, ran


def publish(out: Path, run_id: str, mark: str) -> None:
    run_facts.commit(Run(str(out), run_id, "2026-11-21"), fingerprint=mark)


def test_the_newest_run_of_a_command_is_found(tmp_path: Path) -> None:
    out, mark, first = str(tmp_path), "cafe0123", "2026-11-21-cafe0123"
    begun, following = series.find_run(out, "2026-11-21", mark, first)[:2]
    assert (begun.run_id, following.run_id) == ("2026-11-21-cafe0123", "2026-11-21-cafe0123-2")
    publish(tmp_path, begun.run_id, mark)
    assert series.find_run(out, "2026-11-21", mark, first)[:2] == (begun, following)
    publish(tmp_path, following.run_id, mark)
    newest, third = series.find_run(out, "2026-11-21", mark, first)[:2]
    assert (newest, third.run_id) == (following, "2026-11-21-cafe0123-3")
    run_facts.frozen(third, [], fingerprint=mark)
    assert series.find_run(out, "2026-11-21", mark, first)[0] == third


def test_a_later_run_without_run_json_is_the_one_to_begin_where_the_first_is_gone(tmp_path: Path) -> None:
    mark, first = "cafe0123", "2026-11-21-cafe0123"
    publish(tmp_path, f"{first}-2", mark)  # after a first that was refused, and thrown away for it
    (tmp_path / f"runs/{first}-2/run.json").unlink()
    begun, following = series.find_run(str(tmp_path), "2026-11-21", mark, first)[:2]
    assert (begun.run_id, following.run_id) == (f"{first}-2", f"{first}-3")
    publish(tmp_path, first, mark)
    begun, following = series.find_run(str(tmp_path), "2026-11-21", mark, first)[:2]
    assert (begun.run_id, following.run_id) == (first, f"{first}-2")


def test_a_named_run_keeps_its_date_and_passes_over_the_names_of_others(tmp_path: Path) -> None:
    publish(tmp_path, "form", "cafe0123")
    publish(tmp_path, "form-2", "feedbeef")
    run, following = series.find_run(str(tmp_path), "2026-11-25", "cafe0123", "form")[:2]
    assert (run.run_id, run.run_date) == ("form", "2026-11-21")
    assert (following.run_id, following.run_date) == ("form-3", "2026-11-25")
    other = Run(str(tmp_path), "unfinished", "2026-11-21")
    run_facts.frozen(other, [])
    assert series.find_run(str(tmp_path), "2026-11-22", "cafe0123", "unfinished")[0] == other


def test_a_run_id_that_belongs_to_something_else_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, "night", "cafe0123")
    with pytest.raises(InputError, match="had other sources, another model"):
        series.find_run(str(tmp_path), "2026-11-21", "feedbeef", "night")


@pytest.mark.parametrize("run_id", ["../x", "a/b", ".hidden", "ä", "a" * 101])
def test_a_run_id_is_a_plain_name(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(InputError, match="begin with a letter or a digit"), series.locked(str(tmp_path), run_id):
        pass


@pytest.mark.parametrize(
    "run_id",
    ["0012", "7", "1e5", "1.5", "20261121", "2026-11-21", "2026-1-1", "21-11-2026", "20261121T101010", "0x1f", "0b1",
     "NaN", "nan", "inf", "Infinity", "true", "FALSE", "epoch"],
)  # fmt: skip
def test_an_id_that_reads_as_a_number_a_date_or_a_flag_is_refused_with_what_to_write(run_id: str) -> None:
    with pytest.raises(InputError, match=rf"--run-id '{run_id}'.* begin with a letter, as in 'night-{run_id}'"):
        Command(sources=["in"], model="model", out="out", run_id=run_id)


def test_the_longest_id_leaves_room_for_the_runs_that_follow(tmp_path: Path) -> None:
    longest = "n" * 90
    series.check_new_id(longest)
    _, following = series.find_run(str(tmp_path), "2026-11-21", "cafe0123", longest)[:2]
    with series.locked(str(tmp_path), following.run_id):
        pass
    with pytest.raises(InputError, match="has 91 characters; give an id of at most 90"):
        series.check_new_id(longest + "n")


def test_no_run_is_called_as_the_lock_of_another_is() -> None:
    with pytest.raises(InputError, match=r"--run-id 'night\.lock' ends in \.lock, .*; give another id"):
        series.check_new_id("night.lock")


def test_a_run_begun_by_a_version_that_staged_otherwise_is_refused_with_what_to_do(tmp_path: Path) -> None:
    run = Run(str(tmp_path), "night", "2026-11-21")
    run_facts.frozen(run, [])
    file = tmp_path / "_staging/night/opened.json"
    facts = json.loads(file.read_text())
    del facts["format"], facts["shard_sizes"]
    file.write_text(json.dumps(facts | {"shards": []}))
    with pytest.raises(
        InputError, match=r"another version began this run.* throw the unfinished run away: .*--run night"
    ):
        series.find_run(str(tmp_path), "2026-11-21", "cafe0123", "night")[:2]


HOLDER = """
import sys
from mnist_batch.runs import series
with series.locked(sys.argv[1], "night"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_is_at_work_on_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(Locked, match=f"is locked by process {holder.pid} on "),
        series.locked(str(tmp_path), "night"),
    ):
        pass
    with series.locked(str(tmp_path), "another"):
        assert not caplog.records
    holder.kill()
    holder.wait()
    with series.locked(str(tmp_path), "night"):
        assert f"left by process {holder.pid} on" in caplog.text
    caplog.clear()
    with series.locked(str(tmp_path), "night"):
        assert not caplog.records


def test_a_run_that_is_not_published_is_not_reported(tmp_path: Path) -> None:
    publish(tmp_path, "last-night", "cafe0123")
    assert series.published_run(str(tmp_path), "last-night")[0].run_date == "2026-11-21"
    with pytest.raises(InputError, match="no published run of that id .* there are last-night"):
        series.published_run(str(tmp_path), "tonight")


def test_a_run_of_a_series_is_kept_from_a_job_that_names_it(
    scans_folder: Callable[..., Path], ruler: str, tmp_path: Path
) -> None:
    """The second run of a command may also be named with --run-id: both must not be at work on it."""
    folder, out = scans_folder(3), tmp_path / "out"
    plain = {"sources": [str(folder)], "model": ruler, "out": str(out), "run_id": "night"}
    with opening.open_run(Command(**plain)) as run:
        assert run.run_id == "night"
        with pytest.raises(Locked), opening.open_run(Command(**(plain | {"run_id": "night-2"}))):
            pass


def test_a_lock_that_was_taken_away_hides_nothing(tmp_path: Path) -> None:
    with series.locked(str(tmp_path), "night"):
        (tmp_path / "_staging/night.lock").unlink()


def test_a_retry_whose_name_would_be_too_long_asks_for_one(
    tmp_path: Path, ruler: str, without_ray: None, capsys: Capture
) -> None:
    write_scan(tmp_path / "in/0.png", 0)
    run_facts.commit(
        Run(str(tmp_path / "out"), "n" * 85, "2026-11-21"),
        sources=(str(tmp_path / "in"),),
        model=ModelFacts(ruler, bundle.open_bundle(ruler).digest, "ruler", 1.0),
    )
    code, _, summary = ran(capsys, score, "--retry", "n" * 85, "--out", tmp_path / "out")
    assert code == 2
    assert f"--retry {'n' * 85}: {'n' * 85}-retry is too long a name for its retry; give --run-id" in summary["error"]
