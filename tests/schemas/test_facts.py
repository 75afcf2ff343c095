"""What is written of a run reads back equal; another format is read as it was meant, or refused with a sentence."""

import json
import shutil
from dataclasses import MISSING, asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_batch.errors import DamagedRun, InputError
from mnist_batch.runs.run import Run
from mnist_batch.schemas import bundle_facts, facts
from mnist_batch.schemas.bundle_facts import BundleFacts
from mnist_batch.schemas.facts import Opened, Published, Receipt, Totals
from mnist_batch.statuses import Status
from tests.support import DATA, run_facts

st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
KINDS: list[type[Any]] = [Opened, Published, Receipt, Totals]


@given(st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_reads_back_equal(kind: type[Any], data: st.DataObject) -> None:
    options = {"format": st.just(facts.FORMAT)} if issubclass(kind, facts.RunFacts) else {}
    said = data.draw(st.builds(kind, **options))
    again = facts.from_json(kind, facts.as_json(said))
    assert again == said
    assert facts.as_json(again) == facts.as_json(said)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fact_that_is_gone_or_of_another_type_is_named(kind: type[Any]) -> None:
    whole: dict[str, Any] = {
        Opened: asdict(run_facts.opened((2, 2))),
        Published: asdict(run_facts.published()),
        Receipt: asdict(Receipt(0, 1, 1, 0, 0, 0, 100, "cafe")),
        Totals: asdict(run_facts.published().totals),
    }[kind]
    fields = kind.__dataclass_fields__
    needed = [name for name in whole if fields[name].default is fields[name].default_factory is MISSING]
    assert needed
    for name in needed:
        with pytest.raises(ValueError, match=rf"^it lacks {name}$"):
            facts.from_json(kind, json.dumps({key: value for key, value in whole.items() if key != name}).encode())
        with pytest.raises(ValueError, match=rf"^{name}[.:]"):
            facts.from_json(kind, json.dumps(whole | {name: [None]}).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff"])
def test_what_is_no_object_is_a_sentence(content: bytes) -> None:
    with pytest.raises(ValueError, match="Expecting|not an object|decode"):
        facts.from_json(Published, content)


def test_a_run_of_version_0_1_is_read_as_it_was_meant(tmp_path: Path) -> None:
    shutil.copytree(DATA / "run-0.1", tmp_path / "out")
    said = Run(str(tmp_path / "out"), "2026-11-20-c038c117", "2026-11-20").published
    assert said
    assert (said.schema_version, said.report_files, said.preprocessing) == (1, None, None)
    assert (said.totals.rows, said.totals.labelled_none, said.totals.none_accepted) == (13, 0, 0)
    assert said.totals.statuses == {Status.OK: 11, Status.BLANK: 1, Status.NOT_AN_IMAGE: 1}
    assert facts.from_json(Published, facts.as_json(said)) == said


def test_a_run_of_the_second_format_has_no_sample() -> None:
    said = asdict(run_facts.published(format=2))
    del said["sample"], said["sample_error"]
    assert facts.from_json(Published, json.dumps(said).encode()) == run_facts.published()


def test_a_run_of_a_later_version_is_refused_and_not_guessed(tmp_path: Path) -> None:
    run = Run(str(tmp_path), "night", "2026-11-21")
    run_facts.commit(run, format=facts.FORMAT + 1)
    with pytest.raises(DamagedRun, match=rf"run\.json .*it has format {facts.FORMAT + 1}.*a newer version wrote it"):
        _ = run.published
    run_facts.frozen(run, [], format=1)
    with pytest.raises(InputError, match=r"another version began this run.*throw the unfinished run away"):
        _ = run.opened


@given(st.builds(BundleFacts, format=st.just(bundle_facts.FORMAT)))
def test_what_is_written_of_a_bundle_reads_back_equal(said: BundleFacts) -> None:
    assert bundle_facts.read(facts.as_json(said)) == said


def test_a_bundle_of_the_first_format_is_read_as_it_was_meant() -> None:
    content = Path(DATA, "bundle-0.2", "model.json").read_bytes()
    assert json.loads(content)["format"] == 1
    said = bundle_facts.read(content)
    assert (said.architecture, said.test.digits, len(said.test.members)) == ("ensemble", 10_000, 3)
    assert said.training
    assert (said.training.members, said.training.begun_from) == (("scanned", "strided", "scanned"), None)
    assert said.calibration
    assert (said.calibration.digits, said.calibration.wrongly_labelled) == (9_995, 5)
    assert bundle_facts.read(facts.as_json(said)) == said


@pytest.mark.parametrize("training", [{"data": "embedded MNIST"}, None])
def test_the_calibration_of_an_older_bundle_is_one_set_named_as_its_training_data(training: Any) -> None:
    content = json.loads(Path(DATA, "bundle-0.2", "model.json").read_bytes())
    thresholds = content["calibration"]["thresholds"]
    training = training and content["training"] | training | {"begun_from": None}
    said = bundle_facts.read(json.dumps(content | {"format": 2, "training": training}).encode())
    assert said.calibration
    [only] = said.calibration.sets
    assert only.name == ("embedded MNIST" if training else bundle_facts.HELD_OUT)
    assert [asdict(each) for each in only.thresholds] == thresholds
    assert (only.digits, only.wrongly_labelled, said.calibration.made) == (9_995, 5, None)
