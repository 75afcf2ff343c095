"""Pages of forms through the whole line: every page in, every cell and every field exactly once."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import calibrate, night, report, score
from mnist_batch import scoring
from mnist_batch.forms import opening as forms
from mnist_batch.models import bundle, certifying
from mnist_batch.pipeline import auditing, withholding
from mnist_batch.reports import field_examples
from mnist_batch.runs import verifying
from mnist_batch.runs.run import Run
from mnist_batch.schemas.facts import Opened
from mnist_batch.schemas.likeness_facts import Likeness
from tests.support import stacks
from tests.support.running import ran

pytestmark = pytest.mark.long

Capture = pytest.CaptureFixture[str]
KINDS = ("clean", "turned 180", "scan 150 dpi")
SETTINGS = ("--target-error", "0.01", "--trust-anyway", "--run-date", "2026-11-21", "--run-id", "night")


def table(out: Path, name: str) -> pa.Table:
    rows = pq.read_table(out / name / "run_date=2026-11-21/run_id=night", partitioning=None)
    plain = pa.schema(
        [pa.field(each.name, pa.string()) if pa.types.is_dictionary(each.type) else each for each in rows.schema]
    )
    order = [(key, "ascending") for key in ("scan", "page", "field", "position") if key in rows.column_names]
    return rows.cast(plain).sort_by(order)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Three pages of a form, a blank one, a stranger and a file that is none; the form; the truth of the fields."""
    folder = tmp_path_factory.mktemp("stack")
    form, truth, _ = stacks.stack(folder, KINDS)
    stacks.blank(folder / "pages/blank.png")
    stacks.stack(stranger := tmp_path_factory.mktemp("stranger"), ["clean"], "dense")
    (stranger / "pages/0000.png").rename(folder / "pages/stranger.png")
    (folder / "pages/text.png").write_bytes(b"no picture at all")
    return folder / "pages", form, truth


def test_every_page_is_a_row_and_every_cell_of_a_form_is_one(
    stack: tuple[Path, Path, Path], without_ray: None, tmp_path: Path, capsys: Capture
) -> None:
    pages, location, truth = stack
    out = ["--out", tmp_path / "out", "--max-unreadable", 0.5, *SETTINGS]
    code, printed, last = ran(capsys, score, pages, "--form", location, "--labels", truth, *out)
    assert code == 0
    assert "6 pages: 3 of form boxes, 1 blank_page, 1 unknown_form, 1 not_an_image; 42 fields" in printed
    form = forms.open_form(str(location)).form
    cells = {(field.name, position) for field in form.fields for position in range(len(field.cells))}
    predictions, fields, of_pages = (table(tmp_path / "out", name) for name in ("predictions", "fields", "pages"))
    rows = Counter((row["scan"], row["field"], row["position"]) for row in predictions.to_pylist())
    others = {"blank.png": "blank_page", "stranger.png": "unknown_form", "text.png": "not_an_image"}
    assert rows == Counter([(f"000{n}.png", *cell) for n in range(3) for cell in cells]) + Counter(
        [(name, None, None) for name in others]
    )
    assert Counter((row["scan"], row["field"]) for row in fields.to_pylist()) == Counter(
        [(f"000{n}.png", field.name) for n in range(3) for field in form.fields]
    )
    found = {row["scan"]: row for row in of_pages.to_pylist()}
    assert {name: found[name]["status"] for name in others} == others
    assert [found[f"000{n}.png"]["turn"] for n in range(3)] == [0, 180, 0]
    assert all(found[f"000{n}.png"]["cells"] == len(cells) for n in range(3))
    assert sum(row["fields_accepted"] for row in found.values()) == last["fields"]["accepted"]
    right = [row["value"] == row["label"] for row in fields.to_pylist() if row["label"]]
    assert sum(right) > 0.6 * len(right) > 10
    accepted = {(row["scan"], row["field"]) for row in fields.to_pylist() if row["decision"] == "accept"}
    assert {(row["scan"], row["field"]) for row in predictions.to_pylist() if row["decision"] == "accept"} <= accepted
    published = json.loads((tmp_path / "out/runs/night/run.json").read_text())
    assert published["forms"][0]["name"] == "boxes"
    assert published["field_totals"]["fields"] == len(fields)
    [verified] = verifying.verify(str(tmp_path / "out"))
    assert not verified.faults
    page = (tmp_path / "out/runs/night/report.html").read_text()
    assert "station" in page
    said = last["fields"]
    mistakes = said["labelled"] - said["correct"]
    assert 5 < page.count('alt="the field on its page"') == mistakes + min(field_examples.GALLERY, said["review"])
    assert page.count('alt="the page"') == 1  # of the stranger
    assert len(page) < 3_000_000
    assert ran(capsys, score, pages, "--form", location, "--labels", truth, *out)[2]["run_id"] == "night"


@pytest.mark.usefixtures("shared_ray", "undrawn")
def test_two_actors_of_each_kind_find_what_one_process_finds(
    stack: tuple[Path, Path, Path], tmp_path: Path, capsys: Capture, request: pytest.FixtureRequest
) -> None:
    pages, location, _ = stack
    options = [pages, "--form", location, "--max-unreadable", 0.5, *SETTINGS]
    actors = ["--shard-size", 2, "--preprocessors", 2, "--classifiers", 2]
    assert ran(capsys, score, *options, *actors, "--out", tmp_path / "actors")[0] == 0
    request.getfixturevalue("without_ray")
    assert ran(capsys, score, *options, "--out", tmp_path / "one")[0] == 0
    for name in ("predictions", "fields", "pages"):
        one, two = (table(tmp_path / out, name) for out in ("one", "actors"))
        measured = {"seconds"} & {*one.column_names}
        assert one.drop_columns([*measured]).equals(two.drop_columns([*measured]))


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("name", ["fields", "pages"])
def test_a_table_that_is_changed_before_it_is_published_is_made_again(
    stack: tuple[Path, Path, Path], name: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages, location, _ = stack
    out = ["--out", tmp_path / "out", "--max-unreadable", 0.5, *SETTINGS]
    audit, changed = auditing.audit, list[Path]()

    def audited(run: Run, opened: Opened) -> object:
        if not changed:
            changed.append(tmp_path / f"out/_staging/night/beside/{name}/part-00000")
            changed[0].write_bytes(b"not what was written")
        return audit(run, opened)

    monkeypatch.setattr(scoring.auditing, "audit", audited)
    assert ran(capsys, score, pages, "--form", location, *out)[0] == 0
    assert changed
    assert len(table(tmp_path / "out", name)) > 5


@pytest.mark.usefixtures("without_ray")
@pytest.mark.slow
def test_labels_of_a_page_that_was_replaced_under_its_name_are_none_of_the_page_before(
    stack: tuple[Path, Path, Path], tmp_path: Path, capsys: Capture
) -> None:
    pages, location, truth = stack
    (tmp_path / "in").mkdir()
    asked = [tmp_path / "in", "--form", location, "--labels", tmp_path / "truth.csv", "--out", tmp_path / "out"]
    head, *lines = truth.read_text().splitlines()
    for number, date in ((0, "2026-11-20"), (2, "2026-11-21")):
        shutil.copy(pages / f"000{number}.png", tmp_path / "in/page.png")
        own = [line.replace(f"000{number}.png", "page.png") for line in lines if line.startswith(f"000{number}.png")]
        (tmp_path / "truth.csv").write_text("\n".join([head, *own]))
        code, _, said = ran(capsys, night, *asked, "--run-date", date)
        assert (code, said["rows"] > 0, said["late_truth"]) == (0, True, [])
    labels = pq.read_table(tmp_path / "out/field_labels", partitioning=None).to_pylist()
    given: dict[str, dict[str, str]] = {}
    for row in labels:
        given.setdefault(str(row["night"]), {})[row["field"]] = row["value"]
    assert len(given) == 2
    assert given["2026-11-20"] != given["2026-11-21"]
    for number, date in ((0, "2026-11-20"), (2, "2026-11-21")):
        of_page = [row for row in csv.DictReader(truth.open()) if row["scan"] == f"000{number}.png" and row["value"]]
        assert given[date] == {row["field"]: row["value"] for row in of_page}


@pytest.mark.usefixtures("without_ray")
def test_labels_that_come_later_count_as_those_that_were_there(
    stack: tuple[Path, Path, Path], tmp_path: Path, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    pages, location, truth = stack
    field = forms.open_form(str(location)).form.fields[0].name
    later = tmp_path / "later.csv"
    out = ["--max-unreadable", 0.5, *SETTINGS]
    ran(capsys, score, pages, "--form", location, "--labels", truth, "--out", tmp_path / "at once", *out)
    ran(capsys, score, pages, "--form", location, "--out", tmp_path / "later", *out)
    later.write_text(truth.read_text() + f"0000.png,1,{field},1\n")  # by somebody who counts pages from 1
    labelled = [*("--out", tmp_path / "later", "--run", "night"), "--labels", later]
    code, _, last = ran(capsys, report, *labelled)
    assert (code, "page is 1; '0000.png' has 1 page, counted from 0" in last["error"]) == (2, True)
    later.write_text(truth.read_text() + f"blank.png,0,{field},1\ntext.png,5,{field},1\n")
    assert ran(capsys, report, *labelled)[0] == 0
    assert "--labels: 2 labels not used, for pages that have no such field" in caplog.text
    once, late = (json.loads((tmp_path / name / "runs/night/run.json").read_text()) for name in ("at once", "later"))
    assert late["field_totals"] == once["field_totals"]
    assert late["totals"]["correct"] == once["totals"]["correct"]
    pages = [(tmp_path / name / "runs/night/report.html").read_text() for name in ("at once", "later")]
    shown = [page.count('alt="the field on its page"') for page in pages]
    assert shown[0] == shown[1] > 5
    for name in ("field_report", "field_labels"):
        assert table(tmp_path / "at once", name).equals(table(tmp_path / "later", name))
    ran(capsys, report, "--out", tmp_path / "later", "--run", "night")
    assert json.loads((tmp_path / "later/runs/night/run.json").read_text())["field_totals"] == once["field_totals"]
    ran(capsys, report, "--out", tmp_path / "later", "--run", "night", "--labels", "none")
    assert json.loads((tmp_path / "later/runs/night/run.json").read_text())["field_totals"]["labelled"] == 0


@pytest.mark.usefixtures("without_ray")
def test_a_retry_keeps_the_labels_of_the_fields(tmp_path: Path, capsys: Capture, away: set[str]) -> None:
    form, truth, _ = stacks.stack(tmp_path, ["clean", "turned 180"])
    options = [tmp_path / "pages", "--form", form, "--labels", truth, "--max-unreadable", 1, "--run-id", "night"]
    known = [line.split(",")[0] for line in truth.read_text().splitlines()[1:]]
    away.add("0001.png")
    out = ["--out", tmp_path / "out"]
    assert ran(capsys, score, *options, *out)[0] == 0
    truth.unlink()  # the run has its labels
    away.clear()
    assert ran(capsys, score, *out, "--retry", "night")[2]["run_id"] == "night-retry"
    for run_id, scan in (("night", "0000.png"), ("night-retry", "0001.png")):
        found = json.loads((tmp_path / f"out/runs/{run_id}/run.json").read_text())["field_totals"]
        assert found["labelled"] == known.count(scan) > 10
        assert found["correct"] > 0.8 * found["labelled"]


@pytest.mark.usefixtures("without_ray")
def test_a_run_with_labelled_fields_calibrates_them_and_the_next_run_goes_by_that(
    stack: tuple[Path, Path, Path], tmp_path: Path, capsys: Capture
) -> None:
    pages, location, truth = stack
    form = ["--form", location, "--max-unreadable", 0.5, "--out", tmp_path / "out"]
    ran(capsys, score, pages, *form, *SETTINGS)
    made = ["--to", tmp_path / "ours", "--labels", truth, "--by", "source"]
    code, printed, _ = ran(capsys, calibrate, "--out", tmp_path / "out", "--run", "night", *made)
    assert code == 0, printed
    ran(capsys, report, "--out", tmp_path / "out", "--run", "night", "--labels", truth)
    labelled = json.loads((tmp_path / "out/runs/night/run.json").read_text())["field_totals"]["labelled"]
    assert labelled > 20
    assert f"{labelled} labelled fields:" in printed
    fields = bundle.open_bundle(str(tmp_path / "ours")).facts.calibration.fields
    assert (fields.name, fields.digits) == ("run night", labelled)
    assert f"source {pages}, {labelled} labelled fields:" in printed
    rule = ["--target-error", 0.5, "--trust-anyway", "--model", tmp_path / "ours", "--run-id", "next"]
    code, _, last = ran(capsys, score, pages, *form, *rule)
    assert code == 0
    found = json.loads((tmp_path / "out/runs/next/run.json").read_text())["field_thresholds"]
    assert found["digits"] is None
    assert found["by_source"] == {str(pages): found["number"]}
    assert found["number"] == certifying.last_certified(fields.thresholds, 0.5, 0.95)
    assert last["fields"]["accepted"] > 0


@pytest.mark.usefixtures("without_ray")
def test_of_an_unlike_run_no_number_and_no_empty_field_is_accepted(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One page has nothing written on it: its fields are accepted as empty, and have no answer to be withheld."""
    form, _, _ = stacks.stack(tmp_path, ["clean"])
    shutil.copy(form / "page-1.png", tmp_path / "pages/unwritten.png")
    options = [tmp_path / "pages", "--form", form, "--shard-size", 1, "--target-error", 0.01]
    options += ["--run-date", "2026-11-21", "--run-id", "night"]
    assert ran(capsys, score, *options, "--trust-anyway", "--out", tmp_path / "trusted")[2]["fields"]["accepted"] > 5
    decided = {
        (row["scan"], row["status"], row["decision"]) for row in table(tmp_path / "trusted", "fields").to_pylist()
    }
    assert ("unwritten.png", "empty", "accept") in decided
    unlike = Likeness(300, 3.9, 2.4, 0.3, 0.2, True, ())
    monkeypatch.setattr(withholding.likeness, "nearest", lambda *_: unlike)
    for pages in ("pages", "unwritten"):
        (tmp_path / "unwritten").mkdir(exist_ok=True)
        shutil.copy(form / "page-1.png", tmp_path / "unwritten/1.png")
        out = tmp_path / f"out of {pages}"
        last = ran(capsys, score, tmp_path / pages, *options[1:], "--out", out)[2]
        assert (last["unlike"], last["fields"]["accepted"], last["accepted"]) == (True, 0, 0)
        assert set(table(out, "fields")["decision"].to_pylist()) == {"review"}
        assert set(table(out, "pages")["fields_accepted"].to_pylist()) == {0}
        [verified] = verifying.verify(str(out))
        assert not verified.faults
