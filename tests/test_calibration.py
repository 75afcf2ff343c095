"""A bundle calibrated on a run's own labels: what it is made of, what it promises, what is refused with a sentence."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import calibrating as benchmark
from jobs import calibrate, report, score
from mnist_batch import wording
from mnist_batch.learning import digits
from mnist_batch.models import beta, bundle, certifying
from mnist_batch.models.calibrating import Sample
from mnist_batch.pixels import decoding
from mnist_batch.runs.run import Run
from mnist_batch.schemas.bundle_facts import BundleFacts, CalibrationSet, MnistTest
from mnist_batch.schemas.facts import Beta
from mnist_batch.schemas.tables import NO_DIGIT
from tests.support import ROOT
from tests.support.ruler import calibrated, write_scan
from tests.support.running import Capture, ran

pytestmark = pytest.mark.long

EXAMPLE = {"jobs.score": score, "jobs.calibrate": calibrate}
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
MAPS = st.builds(Beta, st.floats(0.05, 20), st.floats(0.05, 20), st.floats(-5, 5))


def sample(seed: int, count: int) -> Sample:
    """Answers of ten probabilities, wrong the more often the less sure they are."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 4, (count, 10))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    labels = (logits + random.gumbel(size=logits.shape) * 1.5).argmax(axis=1)
    labels = np.where(random.random(count) < 0.05, NO_DIGIT, labels)
    return Sample(probabilities, labels, random.random(count) < 0.95)


@given(st.integers(0, 2**32), st.integers(1, 200), MAPS)
def test_a_map_of_confidence_keeps_the_order_of_the_answers(seed: int, count: int, map: Beta) -> None:
    probabilities = sample(seed, count).outputs
    before, after = beta.confidence(probabilities, None), beta.confidence(probabilities, map)
    assert after.dtype == np.float32
    assert ((after >= 0) & (after <= 1)).all()
    assert (np.diff(after[np.argsort(before, kind="stable")]) >= -1e-6).all()


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 400), st.sampled_from([0.0, 0.5, 1.0]))
def test_the_mean_confidence_is_that_of_laplace(seed: int, count: int, right: float) -> None:
    outputs = sample(seed, count).outputs
    correct = np.random.default_rng(seed).random(count) < right
    map = beta.fit(outputs, correct)
    mean = beta.confidence(outputs, map).mean(dtype=np.float64)
    assert mean == pytest.approx((correct.sum() + 1) / (count + 2), abs=2e-4)


def test_what_a_threshold_accepts_does_not_depend_on_what_the_map_was_fitted_on() -> None:
    known = sample(1, 2_000)
    made = beta.calibrate("run", known, 1.0)
    order = certifying.risks(
        beta.confidence(known.outputs, Beta(1, 1, 0))[known.clear], np.ones(known.clear.sum(), bool)
    )
    [whole] = made.sets
    assert [entry.accepted for entry in whole.thresholds] == [entry.accepted for entry in order]
    for entry in whole.thresholds:
        accepted = (beta.confidence(known.outputs, made.beta) >= np.float32(entry.threshold)) & known.clear
        wrong = accepted & (known.outputs.argmax(axis=1) != known.labels)
        assert (entry.accepted, entry.errors) == (accepted.sum(), wrong.sum())
    assert whole.digits == 2_000


def test_each_source_has_the_thresholds_of_its_own_answers() -> None:
    known = sample(2, 900)
    sources = np.array(["a", "b", "b"] * 300, object)
    made = beta.calibrate("run", known, 1.0, sources)
    assert [(each.name, each.digits) for each in made.by_source] == [("a", 300), ("b", 600)]
    for each in made.by_source:
        assert each.thresholds[-1].accepted == (known.clear & (sources == each.name)).sum()
    rule = certifying.rule(made, 0.3, "m")
    assert set(rule["by_source"]) == {"a", "b"}
    assert certifying.rule(made, None, "m")["by_source"] is None


@given(st.integers(1, 3_000), st.integers(0, 20), st.sampled_from([0.001, 0.01, 0.05]))
def test_so_many_more_right_answers_certify_the_target(right: int, errors: int, target: float) -> None:
    """Of a set with one threshold: with fewer it is not certified, and with as many as were asked for it is."""

    def of(more: int) -> Any:
        confidence = np.full(right + errors + more, 0.9, np.float32)
        known = certifying.risks(confidence, np.arange(len(confidence)) >= errors)
        return CalibrationSet("set", len(confidence), known)

    more = certifying.more_needed(of(0), target)
    assert certifying.last_certified(of(more).thresholds, target, 0.95) is not None
    assert more == 0 or certifying.last_certified(of(more - 1).thresholds, target, 0.95) is None


def labelled_scans(folder: Path, count: int = 120) -> Path:
    """Scans in folders of their labels; every twelfth is wrong and unsure, one has a label and no valid digit."""
    for number in range(count):
        wrong = number % 12 == 5
        sure = 0.3 + 0.002 * number if wrong else 0.6 + 0.3 * number / count
        name = f"{(number + wrong) % 10}/{number:03d}.png"
        write_scan(folder / name, number % 10, confidence=sure)
    return folder


@pytest.fixture
def published(ruler: str, tmp_path: Path, without_ray: None, capsys: Capture) -> tuple[Path, str]:
    """OUT and the id of a run of labelled scans."""
    scans, out = labelled_scans(tmp_path / "in"), tmp_path / "out"
    code, _, summary = ran(capsys, score, scans, "--labels", "parent", "--model", ruler, "--out", out)
    assert code == 0
    return out, summary["run_id"]


def test_a_run_calibrates_its_model_by_its_own_labels_and_the_next_run_says_so(
    ruler: str, tmp_path: Path, capsys: Capture, shared_ray: None
) -> None:
    scans, out, to = labelled_scans(tmp_path / "in"), tmp_path / "out", tmp_path / "models/ours"
    (scans / "copy").mkdir()
    (scans / "copy/000.png").write_bytes((scans / "0/000.png").read_bytes())
    truth = tmp_path / "truth.csv"
    lines = [f"{path.relative_to(scans)},{path.parent.name}" for path in sorted(scans.glob("[0-9]/*.png"))]
    lines = [line.rpartition(",")[0] + ",none" if line.startswith("6/005") else line for line in lines]
    truth.write_text("\n".join(["scan,label", *lines, "copy/000.png,0"]))
    arguments = [scans, "--labels", "none", "--model", ruler, "--out", out]
    code, printed, first = ran(capsys, score, *arguments)
    assert code == 0
    assert "calibrated on" not in printed
    run = Run(str(out), first["run_id"], "")
    before = run.published
    code, printed, made = ran(capsys, calibrate, "--out", out, "--run", first["run_id"], "--labels", truth, "--to", to)
    assert (code, made["labelled"], made["never_accepted"], made["absent"]) == (0, 120, 0, [])
    assert run.published == before  # the run stays as it is
    assert "120 labelled answers of run" in printed
    assert "no label is" not in printed
    assert "10 wrong; 1 labelled none; 1 left out as copies of others" in printed
    assert "--target-error 0.001 needs about 3,200 more right answers; there are 110" in printed
    facts = bundle.open_bundle(str(to)).facts
    assert facts.calibration
    assert facts.calibration.own
    assert (facts.calibration.own.run_id, facts.calibration.own.labels) == (first["run_id"], str(truth))
    assert facts.calibration.made
    assert made["digest"] == bundle.open_bundle(ruler).digest

    target = made["least_target_error"]
    code, printed, second = ran(capsys, score, *arguments[:-4], "--model", to, "--out", out, "--target-error", target)
    assert code == 0
    assert f"calibrated on 120 digits of run {first['run_id']}, on {facts.calibration.made}" in printed
    assert "other people" not in printed
    recorded = json.loads((out / "runs" / second["run_id"] / "run.json").read_text())
    assert recorded["calibration"]["own"]
    assert recorded["beta"]
    assert f"Calibrated on 120 digits of run {first['run_id']}" in Path(second["report"]).read_text()
    first_rows, rows = (
        pq.read_table(out / "predictions", filters=[("run", "=", each["run_id"])], partitioning=None)
        for each in (first, second)
    )
    assert rows["probabilities"].equals(first_rows["probabilities"])  # only how sure they are has changed
    confidence = rows["confidence"].to_numpy()
    accept = np.array(rows["decision"].to_pylist()) == "accept"
    assert (accept == (confidence >= np.float32(recorded["threshold"]))).all()
    assert 60 < accept.sum() < 121
    assert confidence.mean() == pytest.approx(111 / 122, abs=0.01)
    # A calibration of a run that has such a calibration itself begins with the same probabilities.
    code, _, again = ran(
        capsys, calibrate, "--out", out, "--run", second["run_id"], "--labels", truth, "--to", tmp_path / "again"
    )
    assert code == 0
    other = bundle.open_bundle(str(tmp_path / "again")).facts.calibration
    assert other
    assert (other.beta, other.sets[0].thresholds) == (facts.calibration.beta, facts.calibration.sets[0].thresholds)
    assert again["least_target_error"] == target


@pytest.mark.usefixtures("without_ray")
def test_each_source_is_accepted_as_its_own_labels_allow(ruler: str, tmp_path: Path, capsys: Capture) -> None:
    good, bad, other, out, to = (tmp_path / name for name in ("good", "bad", "other", "out", "ours"))
    for folder, count in ((good, 100), (bad, 40), (other, 10)):
        for number in range(count):
            wrong = folder == bad and number < 2  # and these are the surest
            name = f"{(number + wrong) % 10}/{number:03d}.png"
            sure = 0.81 + 0.05 * number / count if folder == bad else 0.5 + 0.3 * number / count
            write_scan(folder / name, number % 10, confidence=0.9 if wrong else sure)  # no two are copies
    code, _, first = ran(capsys, score, good, bad, "--labels", "parent", "--model", ruler, "--out", out)
    assert code == 0
    arguments = ["--out", out, "--run", first["run_id"], "--to", to, "--by", "source"]
    code, printed, made = ran(capsys, calibrate, *arguments)
    assert (code, made["labelled"]) == (0, 140)
    assert printed.count("source /") == 2
    arguments = [bad, good, other, "--model", to, "--out", out, "--target-error", "0.1"]
    code, printed, second = ran(capsys, score, *arguments)
    assert code == 0
    assert f"nothing is accepted of {bad}, whose own labels certify no 0.1" in printed
    rule = json.loads((out / "runs" / second["run_id"] / "run.json").read_text())
    assert rule["by_source"][str(bad)] is None
    assert rule["by_source"][str(good)] <= rule["threshold"]
    rows = pq.read_table(out / "predictions", filters=[("run", "=", second["run_id"])], partitioning=None)
    own = {str(bad): 2.0, str(good): rule["by_source"][str(good)], str(other): rule["threshold"]}
    for row in rows.select(["source", "confidence", "decision"]).to_pylist():
        assert row["decision"] == ("accept" if row["confidence"] >= own[row["source"]] else "review")
    assert {row["source"] for row in rows.to_pylist() if row["decision"] == "accept"} == {str(good), str(other)}
    # The thresholds of sources are part of what identifies a run.
    plain = ["--out", out, "--run", first["run_id"], "--to", tmp_path / "plain"]
    assert ran(capsys, calibrate, *plain)[0] == 0
    _, _, third = ran(capsys, score, *arguments[:4], tmp_path / "plain", *arguments[5:])
    assert third["run_id"] != second["run_id"]


@pytest.mark.usefixtures("without_ray")
def test_whose_digits_a_promise_rests_on_is_said_where_one_is_made(ruler: str, tmp_path: Path, capsys: Capture) -> None:
    scans, model = labelled_scans(tmp_path / "in", 10), calibrated(ruler, tmp_path / "model")
    arguments = [scans, "--model", model, "--out", tmp_path / "out"]
    _, printed, _ = ran(capsys, score, *arguments)
    assert "calibrated on 2,000 digits of ruled lines" in printed
    assert "other people" not in printed
    _, printed, ruled = ran(capsys, score, *arguments, "--target-error", 0.005)
    foreign = "--target-error 0.005 was certified on other people's digits"
    assert foreign in printed
    assert "run jobs.calibrate" in printed
    assert foreign.replace("'", "&#39;") in Path(ruled["report"]).read_text()
    code, printed, _ = ran(capsys, report, "--out", tmp_path / "out", "--run", ruled["run_id"])
    assert (code, foreign in printed) == (0, True)


def test_what_cannot_calibrate_is_a_sentence_and_leaves_nothing(
    published: tuple[Path, str], ruler: str, tmp_path: Path, capsys: Capture
) -> None:
    (out, run_id), to = published, tmp_path / "models/ours"

    def refused(*more: object, run: str = run_id, to: object = to) -> str:
        code, printed, last = ran(capsys, calibrate, "--out", out, "--run", run, "--to", to, *more)
        assert (code, printed) == (2, "")
        assert not Path(str(to), "model.json").exists() or to == ruler
        return str(last["error"])

    assert "no published run of that id" in refused(run="no-such-run")
    few = tmp_path / "few.csv"
    few.write_text("scan,label\n" + "".join(f"{number}/00{number}.png,{number}\n" for number in range(5)))
    assert (
        "5 labelled answers certify no error up to 0.1: 0.1 needs about 24 more right answers; there are 5"
        in refused("--labels", few)
    )
    _, _, unlabelled = ran(capsys, score, tmp_path / "in", "--model", ruler, "--out", out)
    assert "none of its answers has a label" in refused(run=unlabelled["run_id"])
    assert "something is there already" in refused(to=ruler)
    other = tmp_path / "other"
    shutil.copytree(ruler, other)
    (other / "model.keras").write_bytes(b"another")
    bundle.describe(other, BundleFacts(architecture="other", test=MnistTest(1.0)))
    assert "gave the answers of run" in refused("--model", other)
    locked = tmp_path / "locked"
    locked.write_bytes(b"a file, not a folder")
    in_the_way = refused(to=locked / "ours")
    assert f"{locked} is a file and no folder; give another place" in in_the_way
    assert "is kept" not in in_the_way
    shifted = tmp_path / "shifted.csv"
    names = sorted(str(path.relative_to(tmp_path / "in")) for path in (tmp_path / "in").rglob("*.png"))
    below = [name[0] for name in names[13:] + names[:13]]
    shifted.write_text("scan,label\n" + "".join(f"{name},{label}\n" for name, label in zip(names, below, strict=True)))
    of_others = refused("--labels", shifted)
    assert re.search(rf"1[12]\d differ from their labels; check whether these \({shifted}\) are moved", of_others)
    assert "label more" not in of_others
    facts = out / "runs" / run_id / "run.json"
    facts.write_text(facts.read_text().replace('"preprocessing": ', '"preprocessing": 1'))
    assert "score the scans again" in refused()


@pytest.mark.parametrize(("labelled", "absent"), [("012345689", (7,)), ("7", (0, 1, 2, 3, 4, 5, 6, 8, 9))])
def test_digits_that_no_label_is_are_named_by_the_job_and_wherever_the_bundle_says_what_it_was_calibrated_on(
    ruler: str, tmp_path: Path, without_ray: None, capsys: Capture, caplog: pytest.LogCaptureFixture, labelled: str,
    absent: tuple[int, ...],
) -> None:  # fmt: skip
    for number in range(400):
        if str(number % 10) in labelled:
            write_scan(tmp_path / f"in/{number % 10}/{number}.png", number % 10, confidence=0.6 + 0.3 * number / 400)
    asked = [tmp_path / "in", "--labels", "parent", "--model", ruler, "--out", tmp_path / "out"]
    _, _, run = ran(capsys, score, *asked)
    to = tmp_path / "ours"
    code, printed, made = ran(capsys, calibrate, "--out", tmp_path / "out", "--run", run["run_id"], "--to", to)
    said = f"no label is {wording.either(absent)}: nothing is promised of such digits"
    assert (code, made["absent"], said in printed, said in caplog.text) == (0, [*absent], True, True)
    calibration = bundle.open_bundle(str(to)).facts.calibration
    assert calibration
    assert calibration.own
    assert calibration.own.absent == absent
    _, printed, _ = ran(capsys, score, tmp_path / "in", "--model", to, "--out", tmp_path / "out")
    assert f"digits of run {run['run_id']} (no {wording.either(absent)} among them), on" in printed


@pytest.mark.usefixtures("without_ray")
@pytest.mark.long
def test_the_example_of_the_page_is_what_its_commands_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The same words, and the same numbers but for what another processor may round otherwise."""
    monkeypatch.chdir(tmp_path)
    benchmark.write_scans(tmp_path)
    shown = (ROOT / "docs/calibration.md").read_text().split(benchmark.MARK)[1].split("```")[1::2]
    run_ids = ["RUN_ID"]
    for block in shown:
        command, *expected = block.strip().splitlines()
        _, _, module, *arguments = shlex.split(command.removeprefix("$ ").replace("RUN_ID", run_ids[-1]))
        code, printed, summary = ran(capsys, EXAMPLE[module], *arguments)
        run_ids.append(summary["run_id"])
        lines = benchmark.shown(printed, tmp_path, run_ids)
        assert code == 0
        assert [NUMBER.sub("#", line) for line in lines] == [NUMBER.sub("#", line) for line in expected], printed
        for found, told in zip(NUMBER.findall("\n".join(lines)), NUMBER.findall("\n".join(expected)), strict=True):
            number, other = (float(each.replace(",", "")) for each in (found, told))
            assert abs(number - other) <= max(0.02 * other, "." not in told), (found, told)


def test_own_labels_calibrate_the_answers_of_the_nets_that_gave_them(
    tmp_path: Path, without_ray: None, capsys: Capture
) -> None:
    pictures, labels = digits.mnist("test")
    for number in range(300):
        path = tmp_path / f"in/{labels[number]}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(decoding.encode(pictures[number]))
    arguments = [tmp_path / "in", "--labels", "parent", "--out", tmp_path / "out"]
    for target, asks_first in (([], True), (["--target-error", "0.001", "--trust-anyway"], False)):
        code, _, run = ran(capsys, score, *arguments, *target)
        assert code == 0
        recorded = json.loads((tmp_path / "out/runs" / run["run_id"] / "run.json").read_text())
        assert recorded["asks_first"] == asks_first
        rows = pq.read_table(tmp_path / "out/predictions", filters=[("run", "=", run["run_id"])], partitioning=None)
        alone = np.array(rows["first_alone"].to_pylist())
        assert (alone.mean() > 0.8) if asks_first else not alone.any()
        to = tmp_path / f"ours-{asks_first}"
        code, printed, _ = ran(capsys, calibrate, "--out", tmp_path / "out", "--run", run["run_id"], "--to", to)
        assert (code, "labelled answers of run" in printed) == (0, True)
        made = bundle.open_bundle(str(to)).facts
        assert (made.first_calibration is not None, made.calibration is not None) == (asks_first, not asks_first)
        code, _, again = ran(capsys, score, *arguments, "--model", to, "--target-error", "0.05", "--trust-anyway")
        recorded = json.loads((tmp_path / "out/runs" / again["run_id"] / "run.json").read_text())
        assert (code, recorded["asks_first"]) == (0, asks_first)
