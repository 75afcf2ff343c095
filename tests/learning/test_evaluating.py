"""What model.json records of a model's answers to the digits held out, and which of these certify an error."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_batch.learning import digits, evaluating, labelled
from mnist_batch.learning.listed import list_data
from mnist_batch.learning.recipe import Data
from mnist_batch.reading import images
from mnist_batch.schemas.bundle_facts import DataFacts
from tests.support.pictures import write_labelled
from tests.support.ruler import picture_of

WRONG = 3  # the picture whose label is wrong
SAID = {"source": "example/digits"}


class Certain:
    """A model that answers the digit 1, surely, whatever it is shown."""

    def predict(self, pictures: Any, **_: Any) -> Any:
        return np.tile(np.where(np.arange(12) == 1, 0.99, 0.001).astype(np.float32), (len(pictures), 1))


def test_a_wrong_label_is_learned_from_and_counted_but_certifies_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the bytes of the picture in a Parquet file, through the process that reads and normalises it."""
    pictures = [picture_of(look) for look in range(8)]
    label, part = [2 if at == WRONG else 1 for at in range(8)], ["calibrate"] * 6 + ["train"] * 2
    path = write_labelled(tmp_path / "own.parquet", pictures, SAID, label=label, part=part, writer=[*range(8)])
    listed = list_data(Data(str(path)))
    assert listed.scans is not None
    content = listed.scans["content"][WRONG].as_py()
    monkeypatch.setattr(digits, "wrong_labels", lambda: {(images.content_digest(content), 2)})
    actor = labelled.ReadPictures()
    found = labelled.sort_out(actor(listed.scans), listed, 5_000)
    actor.reader.close()
    [wrong] = found.wrongly_labelled
    assert found.digits.labels[[image.tobytes() == wrong for image in found.digits.images]].tolist() == [2]

    held_out = digits.mixed([found.digits.take(found.held_out)], [found.writers[found.held_out]])
    made = evaluating.evaluate("hidden", [Certain()], held_out, [found.facts], found.wrongly_labelled)
    assert (made.validation.digits, made.validation.correct) == (6, 5)
    [only] = made.calibration.sets
    assert (only.name, only.digits, only.wrongly_labelled) == ("6 writers of example/digits", 5, 1)
    assert [entry.errors for entry in only.thresholds] == [0] * len(only.thresholds) != []
    assert only.profile
    assert only.profile.answered == 5
    [trusting] = evaluating.evaluate("hidden", [Certain()], held_out, [found.facts], frozenset()).calibration.sets
    assert (trusting.digits, trusting.wrongly_labelled, trusting.thresholds[-1].errors) == (6, 0, 1)


def test_a_set_is_called_by_its_writers_and_their_source() -> None:
    mnist = DataFacts(digits.EMBEDDED, "", 10, 5)
    own = DataFacts("own.parquet", "", 10, 5, source="example/digits", writers=3, held_out_writers=1)
    folder = DataFacts("forms", "", 10, 5)
    assert evaluating.names_of([mnist, own, folder]) == [digits.EMBEDDED, "1 writer of example/digits", "forms"]
    assert evaluating.names_of([replace(own, held_out_writers=None)]) == ["example/digits"]
    assert evaluating.names_of([replace(own, source=None)]) == ["1 writer of own.parquet"]
    assert evaluating.names_of([own, replace(own, location="more.parquet")]) == ["own.parquet", "more.parquet"]
