"""Scans that are unlike those of the calibration: they are answered, none is accepted, and a kill changes nothing."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import mnist_batch
from jobs import score
from mnist_batch import calibration, scoring
from mnist_batch.errors import InputError, TooManyUnreadable
from mnist_batch.models import answers, likeness
from mnist_batch.pipeline.pools import Pools
from mnist_batch.pipeline.settings import Settings
from mnist_batch.reading import images
from mnist_batch.reports import unlike
from mnist_batch.runs import opening, parts, retrying, verifying
from mnist_batch.runs.command import Command
from mnist_batch.runs.run import Run
from mnist_batch.schemas import bundle_facts
from mnist_batch.schemas.facts import Published, as_json
from mnist_batch.schemas.likeness_facts import Difference, Likeness, Profile
from mnist_batch.store import changing, locations
from tests.support import ruler as ruled
from tests.support import run_facts
from tests.support.running import Killed, opened, predictions, ran

pytestmark = pytest.mark.long

Make = Callable[..., Path]
Capture = pytest.CaptureFixture[str]
WHAT_IS_SAID = ["scan", "page", "status", "digit", "confidence", "probabilities", "label", "content"]


def profile_of(*confidences: float) -> Profile:
    pictures = np.stack([ruled.picture_of(3)] * 2_000)
    return likeness.profile(pictures, np.resize(confidences, 2_000), 2_000, 0)


SURE = profile_of(0.9999, 0.99999, 0.999)  # no scan of the folder is as sure
ALIKE = profile_of(*(0.4 + 0.5 * step / 13 for step in range(13)))  # as ``scans_folder`` writes them


def scored(folder: Path, model: str, out: Path, max_unreadable: float = 0.1, **options: Any) -> tuple[Run, Published]:
    run = opened([folder], model, out, **{"target_error": 0.005, "run_id": "night"} | options)
    return run, scoring.score(run, Settings(max_unreadable=max_unreadable))


def decisions(run: Run) -> set[str | None]:
    return set(predictions(run)["decision"].to_pylist())


@pytest.mark.usefixtures("without_ray")
def test_unlike_scans_are_answered_and_none_is_accepted(scans_folder: Make, ruler: str, tmp_path: Path) -> None:
    folder = scans_folder(50)
    unknown, _ = scored(folder, ruled.calibrated(ruler, tmp_path / "unknown"), tmp_path / "without")
    strict = ruled.calibrated(ruler, tmp_path / "strict", profile=SURE)
    run, published = scored(folder, strict, tmp_path / "out")
    found = published.likeness
    assert found is not None
    assert found.unlike
    assert found.answers == published.totals.scored
    assert decisions(run) == {"review"}
    assert (published.totals.accepted, published.totals.review) == (0, 50)
    assert [each.faults for each in verifying.verify(run.out, run.run_id)] == [[]]
    # All but the decision is as if nothing had been known of the calibration's scans.
    assert decisions(unknown) == {"accept", "review"}
    assert unknown.published is not None
    assert unknown.published.likeness is None
    assert predictions(run).select(WHAT_IS_SAID).equals(predictions(unknown).select(WHAT_IS_SAID))

    trusted, facts = scored(folder, strict, tmp_path / "out", trust_anyway=True, run_id="trusted")
    assert facts.likeness == found
    assert facts.trust_anyway
    assert predictions(trusted)["decision"].equals(predictions(unknown)["decision"])
    _, undecided = scored(folder, strict, tmp_path / "out", target_error=None, run_id="undecided")
    assert undecided.likeness == found
    assert undecided.totals.accepted is None
    assert len({published.fingerprint, facts.fingerprint, undecided.fingerprint, unknown.published.fingerprint}) == 4

    like, same = scored(folder, ruled.calibrated(ruler, tmp_path / "like", profile=ALIKE), tmp_path / "like_out")
    assert same.likeness is not None
    assert not same.likeness.unlike
    assert predictions(like)["decision"].equals(predictions(unknown)["decision"])


@pytest.mark.long
@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize(
    "place", ["disk", pytest.param("fsspec", marks=pytest.mark.slow), pytest.param("s3", marks=pytest.mark.slow)]
)
def test_killed_at_every_step_of_withholding(
    scans_folder: Make,
    ruler: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    request: pytest.FixtureRequest,
) -> None:
    """The scans are gone after the kill, so that none of them can be scored again."""
    base = {"disk": str(tmp_path), "fsspec": f"fsspec+file://{tmp_path}"}.get(place)
    if base is None:
        base = f"s3://{request.getfixturevalue('store').bucket}"
    strict = ruled.calibrated(ruler, tmp_path / "strict", profile=SURE)
    steps: list[str] = []
    fatal = -1

    def mortal(change: Callable[..., Any]) -> Callable[..., Any]:
        def step(filesystem: Any, path: str, *rest: Any) -> Any:
            if steps or path.endswith("withheld.json"):
                steps.append(parts.shard_name(Path(path).name))
                if len(steps) == fatal:
                    raise Killed
            return change(filesystem, path, *rest)

        return step

    def rows(run: Run) -> pa.Table:
        table = mnist_batch.read_predictions(run.out).to_table().sort_by("scan")
        return table.drop_columns(["source", "modified_ns"])

    for name in ("write_whole", "delete_file"):
        monkeypatch.setattr(changing, name, mortal(getattr(changing, name)))
    calm, facts = scored(scans_folder(16, "calm"), strict, f"{base}/out", shard_size=8)
    expected = rows(calm)
    assert len(expected) == 16
    each = 3 if calm.at_store else 2  # the receipt, the part, and at a store the receipt of the part before
    of_withholding = ["withheld.json", *["part-00000"] * each, *["part-00001"] * each]
    assert steps[: len(of_withholding) + 1] == [*of_withholding, "report"]
    for killed in range(1, 1 + len(of_withholding)):
        folder, out = scans_folder(16, f"scans-{killed}"), f"{base}/killed-{killed}"
        steps.clear()
        fatal = killed
        with pytest.raises(Killed):
            scored(folder, strict, out, shard_size=8)
        for file in folder.rglob("*.png"):
            file.unlink()
        steps.clear()
        fatal = -1
        run, again = scored(folder, strict, out, shard_size=8)
        assert rows(run).equals(expected), killed
        assert again.totals == facts.totals
        assert again.likeness == facts.likeness
        assert [each.faults for each in verifying.verify(run.out, run.run_id)] == [[]]
        assert locations.names(run.filesystem, f"{run.root}/_staging") == []


@pytest.mark.usefixtures("without_ray")
def test_a_retry_of_an_unlike_run_accepts_nothing_either(
    scans_folder: Make, ruler: str, tmp_path: Path, away: set[str]
) -> None:
    folder, strict = scans_folder(50), ruled.calibrated(ruler, tmp_path / "strict", profile=SURE)
    away.add("scan-0005.png")
    _, published = scored(folder, strict, tmp_path / "out")
    away.clear()
    with opening.open_run(retrying.command(str(tmp_path / "out"), "night")) as run:
        retried = scoring.score(run)
    assert retried.totals.scored == 1
    assert retried.retries == "night"
    assert retried.likeness == published.likeness
    assert decisions(run) == {"review"}


@pytest.mark.usefixtures("without_ray")
def test_a_refused_run_is_judged_by_the_scans_that_it_has_in_the_end(
    scans_folder: Make, ruler: str, tmp_path: Path, away: set[str]
) -> None:
    folder = scans_folder(20)
    for number in range(20, 60):
        ruled.write_scan(folder / "3" / f"sure-{number}.png", 3)  # these alone make the run like the calibration
        away.add(f"sure-{number}.png")
    almost = ruled.calibrated(ruler, tmp_path / "almost", profile=profile_of(1.0, 1.0, 1.0, 0.65))
    with pytest.raises(TooManyUnreadable):
        scored(folder, almost, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("withheld.json"))
    away.clear()
    run, published = scored(folder, almost, tmp_path / "out")
    assert published.likeness is not None
    assert not published.likeness.unlike
    assert decisions(run) == {"accept", "review"}


@pytest.mark.usefixtures("without_ray")
def test_a_calibration_by_own_labels_is_like_the_run_that_it_was_made_of(
    scans_folder: Make, ruler: str, tmp_path: Path
) -> None:
    folder, strict = tmp_path / "scans", ruled.calibrated(ruler, tmp_path / "strict", profile=SURE)
    for number in range(60):
        ruled.write_scan(folder / str(number % 10) / f"scan-{number}.png", number % 10, 0.5 + number / 150)
    run, published = scored(folder, strict, tmp_path / "out")
    assert published.likeness is not None
    assert published.likeness.unlike
    calibration.calibrate(run.out, run.run_id, str(tmp_path / "ours"))
    _, again = scored(folder, str(tmp_path / "ours"), tmp_path / "out", target_error=0.1, run_id="again")
    assert again.likeness is not None
    assert again.likeness.uncertainty == pytest.approx(1, abs=0.05)
    assert not again.likeness.unlike
    assert again.likeness.differences == ()
    assert again.totals.accepted


@pytest.mark.usefixtures("without_ray")
def test_a_run_says_how_like_its_scans_are(scans_folder: Make, ruler: str, tmp_path: Path, capsys: Capture) -> None:
    folder, strict = scans_folder(50), ruled.calibrated(ruler, tmp_path / "strict", profile=SURE)
    given = [folder, "--model", strict, "--out", tmp_path / "out", "--target-error", "0.005"]
    code, printed, summary = ran(capsys, score, *given, "--run-id", "night")
    assert (code, summary["unlike"], summary["accepted"]) == (0, True, 0)
    assert "the scans are unlike those of the calibration: the answers are" in printed
    assert "no answer is accepted" in printed
    page = (tmp_path / "out/runs/night/report.html").read_text()
    assert "The scans are unlike those of the calibration: the answers are" in page
    assert json.loads((tmp_path / "out/runs/night/run.json").read_bytes())["likeness"]["unlike"] is True
    code, printed, summary = ran(capsys, score, *given, "--trust-anyway", "--run-id", "trusted")
    assert (code, summary["unlike"]) == (0, True)
    assert summary["accepted"] > 0
    assert "--trust-anyway accepts them all the same" in printed
    code, _, summary = ran(capsys, score, *given[:-2], "--trust-anyway")
    assert code == 2
    assert "--trust-anyway: nothing is accepted without --target-error" in summary["error"]


def test_the_sentence_names_what_differs_and_what_follows() -> None:
    differences = (Difference("ink_share", 0.081, 0.128, 0.6), Difference("stroke_width", 1.74, 2.51, 0.5))
    found = Likeness(300, 3.9, 2.4, 0.3, 0.2, True, differences)
    said = unlike.sentence(run_facts.published(target_error=0.005, threshold=0.5, likeness=found))
    assert said == (
        "the scans are unlike those of the calibration: the answers are 3.9 times as uncertain (unlike above 2.4), and "
        "30 % of them are doubted (unlike above 20 %); share of ink 8 % instead of 13 %, stroke width 1.7 pixels of 28 "
        "instead of 2.5 pixels of 28; --target-error 0.005 promises nothing for them, so no answer is accepted: label "
        "some of them and run jobs.calibrate, or accept the answers as they are with --trust-anyway"
    )
    assert unlike.sentence(run_facts.published()) is None
    like = replace(found, unlike=False, uncertainty=1.1, doubted=0.01)
    assert unlike.sentence(run_facts.published(likeness=like)) == (
        "the scans are like those of the calibration: the answers are 1.1 times as uncertain (unlike above 2.4)"
    )
    like = replace(found, unlike=False, doubted=0.01, expected_errors=3.2, expected_errors_level=4.5)
    assert unlike.sentence(run_facts.published(likeness=like)) == (
        "the scans are like those of the calibration: the answers are 3.9 times as uncertain (unlike above 2.4), but "
        "by their confidence only 3.2 times as many are wrong (unlike above 4.5)"
    )
    expected = replace(found, doubted=0.01, expected_errors=8.0, expected_errors_level=4.5)
    assert "3.9 times as uncertain (unlike above 2.4); share" in str(
        unlike.sentence(run_facts.published(likeness=expected))
    )


def test_trust_decides_rows_only_where_something_is_accepted(ruler: str, tmp_path: Path) -> None:
    strict = ruled.calibrated(ruler, tmp_path / "strict", profile=SURE)
    unknown = ruled.calibrated(ruler, tmp_path / "unknown")

    def fingerprint(model: str, **options: Any) -> str:
        return Command(sources=[str(tmp_path / "scans")], out=str(tmp_path / "out"), model=model, **options).fingerprint

    (tmp_path / "scans").mkdir()
    assert fingerprint(strict) == fingerprint(unknown)
    target = {"target_error": 0.005}
    assert len({fingerprint(strict, **target), fingerprint(strict, **target, trust_anyway=True)}) == 2
    assert fingerprint(unknown, **target) == fingerprint(unknown, **target, trust_anyway=True)
    with pytest.raises(InputError, match="--trust-anyway"):
        fingerprint(unknown, trust_anyway=True)


def test_a_profile_is_read_back_from_model_json(ruler: str, tmp_path: Path) -> None:
    written = Path(ruled.calibrated(ruler, tmp_path / "strict", profile=SURE), "model.json").read_bytes()
    facts = bundle_facts.read(written)
    assert facts.calibration is not None
    [of_set] = facts.calibration.sets
    assert of_set.profile == SURE
    bare = replace(facts, calibration=replace(facts.calibration, sets=(replace(of_set, profile=None),)))
    assert bundle_facts.read(as_json(bare)) == bare


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_the_number_of_actors_changes_nothing_of_unlike_scans(scans_folder: Make, ruler: str, tmp_path: Path) -> None:
    folder, strict = scans_folder(40), ruled.calibrated(ruler, tmp_path / "strict", profile=SURE)
    found: list[tuple[pa.Table, Any, Any]] = []
    for actors in (1, 2):
        run = opened([folder], strict, tmp_path / str(actors), target_error=0.005, shard_size=20 - 9 * (actors - 1))
        published = scoring.score(run, Settings(Pools(actors, actors)))
        found.append((predictions(run).drop_columns(["run"]), published.likeness, published.totals))
    assert found[0][0].equals(found[1][0])
    assert found[0][1:] == found[1][1:]
    assert found[0][1].unlike
    shutil.rmtree(tmp_path / "1")


def with_pale_scans(folder: Path, dark: int, pale: int) -> Path:
    """Sure scans, of which some have ink of a tenth of the others' contrast."""
    for number in range(dark):
        ruled.write_scan(folder / "3" / f"dark-{number:03}.png", 3)
    for number in range(pale):
        path = ruled.write_scan(folder / "3" / f"pale-{number:03}.png", 3)
        path.write_bytes(images.encode(ruled.picture_of(3) // 10))
    return folder


@pytest.mark.usefixtures("without_ray")
def test_ink_that_is_pale_beside_the_run_s_is_never_accepted(ruler: str, tmp_path: Path) -> None:
    model = ruled.calibrated(ruler, tmp_path / "model")
    run, published = scored(with_pale_scans(tmp_path / "mixed", 60, 5), model, tmp_path / "out", shard_size=20)
    by_scan = dict(zip(*(predictions(run)[name].to_pylist() for name in ("scan", "decision")), strict=True))
    pale_ones = {f"3/pale-{number:03}.png" for number in range(5)}
    assert {name for name, decision in by_scan.items() if decision == "review"} == pale_ones
    assert [*map(str, predictions(run)["reason"].unique())] == ["None", answers.PALE]
    assert (published.totals.accepted, published.pale, published.likeness) == (60, 5, None)
    assert "5 answers are from ink far paler" in (tmp_path / "out/runs/night/report.html").read_text()
    assert [each.faults for each in verifying.verify(run.out, run.run_id)] == [[]]

    for dark, pale in ((60, 0), (0, 60), (10, 5)):  # nothing pale; all of it pale; too few to say
        folder = with_pale_scans(tmp_path / f"{dark}-{pale}", dark, pale)
        _, facts = scored(folder, model, tmp_path / "out", run_id=f"of-{dark}-{pale}")
        assert (facts.totals.accepted, facts.pale or 0) == (dark + pale, 0)


@pytest.mark.usefixtures("without_ray")
def test_a_retry_knows_what_is_pale_in_its_run(ruler: str, tmp_path: Path, away: set[str]) -> None:
    folder, model = with_pale_scans(tmp_path / "scans", 60, 2), ruled.calibrated(ruler, tmp_path / "model")
    away.add("pale-001.png")
    _, published = scored(folder, model, tmp_path / "out")
    away.clear()
    with opening.open_run(retrying.command(str(tmp_path / "out"), "night")) as run:
        retried = scoring.score(run)
    assert (retried.paler_than, retried.pale) == (published.paler_than, 1)
    assert decisions(run) == {"review"}
