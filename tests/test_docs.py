"""What the documents say is what the project does: commands run, reads read, columns and files are there."""

import json
import re
import shlex
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import duckdb
import pandas
import polars
import pytest
import yaml

from mnist_batch import failpoints, statuses
from mnist_batch.forms import samples
from mnist_batch.learning import digits
from mnist_batch.schemas import tables
from tests.support import ROOT, architecture
from tests.support.ruler import calibrated, write_scan

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
JOBS = {
    name: import_module(f"jobs.{name}")
    for name in [
        "form",
        "score",
        "night",
        "report",
        "review",
        "export",
        "list",
        "verify",
        "discard",
        "inspect",
        "train",
    ]
}


def blocks(kind: str) -> list[str]:
    """The lines of the README's code blocks of one kind."""
    found, inside = [], None
    for line in README.splitlines():
        if line.startswith("```"):
            inside = line[3:] if inside is None else None
        elif inside == kind:
            found.append(line)
    return found


@pytest.mark.usefixtures("shared_ray")
def test_the_readmes_commands_and_reads_work(
    scans_folder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    scans_folder(40)
    write_scan(tmp_path / "digit.png", 4)
    samples.write(tmp_path, 6, *(array[:500] for array in digits.mnist("test")))
    (tmp_path / "form/page-1.png").rename(tmp_path / "blank.png")
    mnist = digits.mnist  # of which a tenth is enough for commands to work
    monkeypatch.setattr(digits, "mnist", lambda split: digits.Digits(*(array[::10] for array in mnist(split))))
    (tmp_path / "truth.csv").write_text("scan,label\n3/scan-0003.png,3\n4/scan-0004.png,none\n")
    commands = [line for line in blocks("") if line.startswith("python -m jobs.")]
    assert {line.split()[2].removeprefix("jobs.") for line in commands} == set(JOBS)
    run_id = "none yet"
    for line in commands:
        _, _, module, *arguments = shlex.split(line.replace("RUN_ID", run_id).replace("YOUR_FOLDER", "scans"))
        assert JOBS[module.removeprefix("jobs.")].main(arguments) == 0, line
        run_id = json.loads(capsys.readouterr().out.splitlines()[-1]).get("run_id") or run_id

    of_scans, of_fields = blocks("sql")
    assert 0 < len(duckdb.sql(of_fields).df()) <= 6 * 6
    by_duckdb = duckdb.sql(of_scans).df()
    by_pandas, by_polars = (eval(line, {"pandas": pandas, "polars": polars}) for line in blocks("python"))
    assert set(by_duckdb["scan"]) == set(by_pandas["scan"]) == set(by_polars["scan"])
    assert len(by_duckdb) == len(by_pandas) == len(by_polars) > 0
    published = [json.loads(path.read_text()) for path in (tmp_path / "out/runs").glob("*/run.json")]
    runs = {(run["run_id"], run["run_date"]) for run in published}
    assert {run["schema_version"] for run in published} == {tables.VERSION}
    for rows in (by_duckdb, by_pandas, by_polars.to_pandas()):  # each has what the README says to filter by
        nights = (str(pandas.Timestamp(night).date()) for night in rows["night"])
        assert set(zip(rows["run"], nights, strict=True)) <= runs
    scans = ["scans", "--model", "models/hidden", "--labels", "parent"]
    assert JOBS["score"].main([*scans, "--engine", "keras", "--out", "keras"]) == 0  # the reference answers alike
    by_keras = json.loads(capsys.readouterr().out.splitlines()[-1])["run_id"]
    columns = ["scan", "status", "digit", "label", "content"]
    onnx, keras = (
        polars.read_parquet(f"{out}/predictions/**/*.parquet").filter(polars.col("run") == run)
        for out, run in (("out", run_id), ("keras", by_keras))
    )
    assert onnx.select(columns).sort("scan").rows() == keras.select(columns).sort("scan").rows()
    ours, theirs = (frame.sort("scan")["confidence"].drop_nulls().to_numpy() for frame in (onnx, keras))
    assert abs(ours - theirs).max() <= 1e-5
    for table in ("predictions", *tables.REPORT):
        assert len(pandas.read_parquet(tmp_path / "out" / table)) > 0
    for run in (tmp_path / "out/runs").iterdir():
        names = {path.name for path in run.iterdir()}
        assert names - {"form-000.json"} == {"confusion.png", "report.html", "run.json"}


@pytest.mark.usefixtures("shared_ray")
def test_the_commands_of_the_page_on_reading_work(ruler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is scored, a sample of what it accepted is drawn, filled in as a spreadsheet does, and given back."""
    monkeypatch.chdir(tmp_path)
    for number in range(30):
        write_scan(tmp_path / f"scans/{number:02d}.png", number % 10, confidence=0.95 if number < 20 else 0.5)
    arguments = [
        "scans",
        "--model",
        calibrated(ruler, tmp_path / "model"),
        "--target-error",
        "0.005",
        "--run-id",
        "night",
    ]
    assert JOBS["score"].main([*arguments, "--out", "out"]) == 0
    page = (ROOT / "docs/reading.md").read_text()
    commands = re.findall(r"^python -m jobs\.(\w+) (.*)$", page.replace("RUN_ID", "night"), re.MULTILINE)
    assert [name for name, _ in commands] == ["report", "report"]
    for name, line in commands:
        assert JOBS[name].main(shlex.split(line)) == 0, line
        sheet = pandas.read_csv("out/runs/night/audit.csv")
        assert len(sheet) == 20
        sheet["label"] = sheet["scan"].str[1].astype(int).mask(sheet["number"] == 7, None)
        sheet.sort_values("scan").to_csv("filled.csv", index=False, sep=";", decimal=",")
    assert JOBS["verify"].main(["--out", "out"]) == 0
    said = json.loads(Path("out/runs/night/run.json").read_text())
    error = said["sample_error"]
    assert [error[name] for name in ("accepted", "drawn", "labelled", "wrong", "low")] == [20, 20, 19, 0, 0]
    assert said["totals"]["accepted"] == 20
    assert "19 of these have been labelled, and 0 of these are wrong" in Path("out/runs/night/report.html").read_text()
    assert Path("out/runs/night/audit.html").read_text().count('class="scan" src="data:image/png') == 20


def test_the_make_targets_that_are_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    named = re.findall(r"`make ([a-z-]+)`|^ *make ([a-z-]+)$", README + CONTRIBUTING, re.MULTILINE)
    targets = {"".join(pair) for pair in named} | {run.split()[-1] for run in steps if run.startswith("make")}
    assert {"lint", "test-fast", "test", "demo", "install", "test-slow", "lock"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_what_contributors_are_told_is_there() -> None:
    """Files and actions of failpoints exist; private names of Ray are where the page says, for its pinned version."""
    for name in re.findall(r"`((?:[a-z_]+/)+[A-Za-z_0-9.-]*)`", CONTRIBUTING):
        assert (ROOT / name).exists() or (ROOT / "mnist_batch" / name).exists(), name
    for name in re.findall(r"`([a-z_]+\.jsonl?)`", CONTRIBUTING):
        assert (ROOT / "benchmarks" / name).exists(), name
    assert all(f"`{action}`" in CONTRIBUTING or f'"{action}"' in CONTRIBUTING for action in failpoints.ACTIONS)
    users = {
        str(path.relative_to(ROOT))
        for folder in ("jobs", "mnist_batch")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\bray\.(\w+\.)*_\w|_internal", path.read_text())
    }
    assert users == {"jobs/cluster.py", "mnist_batch/learning/ray_train.py"}


def test_the_tree_on_paper_is_the_tree() -> None:
    _, tree, _ = architecture.PAGE.read_text().split(architecture.MARK)
    assert tree == architecture.tree(), "run python -m tests.support.architecture"
    for name in re.findall(r"\]\(([^)#\s]+)", README):
        assert (ROOT / name).exists(), name


def test_every_column_and_status_is_described() -> None:
    page = (ROOT / "docs/tables.md").read_text()
    for schema in (
        tables.RUN,
        tables.PREDICTIONS,
        *tables.REPORT.values(),
        *tables.BESIDE.values(),
        *tables.REPORT_OF_FORMS.values(),
    ):
        for field in schema:
            assert (
                f"| `{field.name}` | {field.type} | {field.metadata[b'description'].decode()} |".replace(
                    "<values=string, indices=int32, ordered=0>", ""
                )
                in page
            ), field.name
    for field in (*tables.NORMALISATION, *tables.CELL):
        assert f"| `{field.name}` | {field.type} | {field.metadata[b'description'].decode()} |" in page
    for status, meaning in statuses.MEANINGS.items():
        assert f"| `{status}` | {meaning} |" in page


def test_the_ladder_of_the_readme_is_the_one_measured() -> None:
    from benchmarks import ladder

    shown = README.split("<!-- ladder -->")[1].strip()
    assert shown == ladder.table(ladder.read(ROOT / "benchmarks/ladder.jsonl"))
    assert shown.count("** (3) |") == len(ladder.ROWS) - 2  # one ensemble is three trainings, a strided among them
    assert " no (" not in shown


def test_the_table_of_likeness_is_the_one_measured() -> None:
    from benchmarks import likeness

    shown = (ROOT / "docs/likeness.md").read_text().split("<!-- likeness -->")[1].strip()
    assert shown == likeness.table(json.loads(likeness.RESULTS.read_text())["sources"])


def test_the_tables_of_drift_are_the_ones_measured() -> None:
    from benchmarks import drift

    page = (ROOT / "docs/drift.md").read_text()
    measured = drift.table(json.loads(drift.RESULTS.read_text())["of"])
    for name, table in zip(("nights", "changes"), measured, strict=True):
        assert page.split(f"<!-- drift {name} -->")[1].strip() == table


def test_the_fortnight_of_the_page_is_the_one_measured() -> None:
    from benchmarks import fortnight

    measured = json.loads(fortnight.RESULTS["disk"].read_text())
    shown = (ROOT / "docs/nightly.md").read_text().split("<!-- fortnight -->")[1].strip()
    assert shown == f"{fortnight.table(measured['lines'])}\n\n{fortnight.verdict(measured)}"
    assert measured["wrong"] == 0


def test_every_fault_of_the_pages_has_its_test() -> None:
    page = "".join((ROOT / "docs" / name).read_text() for name in ("reliability.md", "stores.md"))
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`(?: \((slow)\))? \|$", page, re.MULTILINE)
    assert len(named) > 20
    for name, slow in named:
        written = re.search(rf"((?:^@.*\n)*)^def {name}\(", tests, re.MULTILINE)
        assert written, name
        assert ("pytest.mark.slow\n" in written[1]) == bool(slow), name


def test_every_law_has_its_tests() -> None:
    laws = (ROOT / "docs/architecture.md").read_text().split("## Laws")[1].split("## Words")[0]
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", laws)
    assert len(named) >= 10
    assert [name for name in named if f"def {name}(" not in tests] == []


def test_the_chaos_of_the_reliability_page_is_the_one_measured() -> None:
    from benchmarks import chaos, json_lines

    shown = (ROOT / "docs/reliability.md").read_text().split("<!-- chaos -->")[1].strip()
    runs = json_lines.read(chaos.RESULTS["disk"])
    assert shown == chaos.summary(runs)
    assert len(runs) >= 50
    at_store = (ROOT / "docs/reliability.md").read_text().split("<!-- chaos s3 -->")[1].strip()
    assert at_store == chaos.summary(json_lines.read(chaos.RESULTS["s3"]))


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_accuracy_of_the_page_is_the_one_measured() -> None:
    from benchmarks import accuracy, refusals
    from mnist_batch.models import bundle

    page, shipped = (ROOT / "docs/accuracy.md").read_text(), bundle.open_bundle(bundle.SHIPPED).facts
    results, refused = (json.loads(file.read_text()) for file in (accuracy.RESULTS, refusals.RESULTS))
    for mark, table in (
        ("accuracy", accuracy.table(results)),
        ("nets", accuracy.nets_table(shipped)),
        ("held out", accuracy.held_out_table(shipped)),
        ("refusals", refusals.table(refused)),
        ("calibration", accuracy.calibration_table(results)),
        ("trust", accuracy.trust_table(results)),
    ):
        assert page.split(f"<!-- {mark} -->")[1].strip() == table


def test_how_sure_numbers_are_on_the_page_is_what_was_measured() -> None:
    from benchmarks import field_values

    page = (ROOT / "docs/forms.md").read_text()
    found = json.loads(field_values.RESULTS.read_text())
    assert page.split("<!-- how sure -->")[1].strip() == field_values.reliability_table(found)
    assert page.split("<!-- promise -->")[1].strip() == field_values.promise_table(found)


def test_the_calibration_of_the_page_is_the_one_measured() -> None:
    from benchmarks import calibrating

    page = (ROOT / "docs/calibration.md").read_text()
    rows = json.loads(calibrating.RESULTS.read_text())
    assert page.split("<!-- calibrating -->")[1].strip() == calibrating.table(rows)


def test_the_speed_of_the_page_is_the_one_measured() -> None:
    from benchmarks import json_lines, scaling, scoring, training

    page = (ROOT / "docs/scaling.md").read_text()
    for mark, table in (
        ("scoring", scoring.table(json_lines.read(scoring.RESULTS))),
        ("training", training.table(json_lines.read(training.RESULTS))),
        ("scaling", scaling.table(json.loads(scaling.RESULTS.read_text()))),
    ):
        assert table
        assert page.split(f"<!-- {mark} -->")[1].strip() == table


def test_the_fine_tuning_of_the_page_is_the_one_measured() -> None:
    from benchmarks import fine_tuning, json_lines

    page = (ROOT / "docs/training.md").read_text()
    assert page.split("<!-- fine-tuning -->")[1].strip() == fine_tuning.table(json_lines.read(fine_tuning.RESULTS))


def test_the_rooms_on_paper_are_those_of_the_contract() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    page = (ROOT / "docs/architecture.md").read_text().split("## Rooms")[1].split("## Laws")[0]
    rooms = [line.strip() for line in page.splitlines() if line.startswith("    ")]
    assert rooms == [layer.replace("mnist_batch.", "") for layer in contract["layers"]]
