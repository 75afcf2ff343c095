"""Of many forms the likest to a page come first, whatever lies on it besides, and however it is turned."""

import numpy as np
import pytest

from mnist_batch.forms.features import Features, moved
from mnist_batch.forms.geometry import mapped, scaling
from mnist_batch.forms.ranking import Ranking

FORMS, POINTS = 30, 200


def features(random: np.random.Generator, kind: str, points: int = POINTS) -> Features:
    if kind == "binary":
        descriptors = random.integers(0, 256, (points, 32), dtype=np.uint8)
    else:
        descriptors = random.integers(0, 120, (points, 128)).astype(np.float32)
    places = random.uniform(0, 600, (points, 2))
    return Features(places, descriptors, random.uniform(0, 360, points), random.choice([31.0, 37.2, 44.6], points))


def scanned(form: Features, random: np.random.Generator, turn: float, size: float) -> Features:
    """A quarter of a form's points, blurred a little, among twice as many others."""
    kept = form.only(random.permutation(len(form.points))[: len(form.points) // 4])
    cos, sin = size * np.cos(np.radians(turn)), size * np.sin(np.radians(turn))
    there = mapped(np.array([[cos, -sin, 300.0], [sin, cos, 200.0], [0.0, 0.0, 1.0]]), kept.points)
    descriptors = kept.descriptors.copy()
    descriptors[:, :2] = 0
    others = features(random, "binary" if descriptors.dtype == np.uint8 else "fine", 2 * len(there))
    return Features(
        np.r_[there, others.points],
        np.r_[descriptors, others.descriptors],
        np.r_[(kept.turns + turn) % 360, others.turns],
        np.r_[kept.sizes * size, others.sizes],
    )


@pytest.mark.parametrize("kind", ["binary", "fine"])
@pytest.mark.parametrize(("turn", "size"), [(0, 1.0), (90, 1.0), (183, 0.7), (351, 1.3)])
def test_the_form_of_a_page_comes_first(kind: str, turn: float, size: float) -> None:
    random = np.random.default_rng(5)
    forms = [features(random, kind) for _ in range(FORMS)]
    ranking = Ranking.of(forms)
    for number in (0, 13, FORMS - 1):
        likest = ranking.likest(scanned(forms[number], random, turn, size), 4)
        assert likest[0] == number
        assert len(set(likest)) == 4


def test_points_that_are_like_but_lie_elsewhere_do_not_count() -> None:
    random = np.random.default_rng(5)
    form = features(random, "binary")
    shuffled = Features(random.permutation(form.points), form.descriptors, form.turns, form.sizes)
    others = [features(random, "binary") for _ in range(FORMS)]
    page = scanned(form, random, 0, 1.0)
    assert Ranking.of([shuffled, *others, form]).likest(page, 1) == [FORMS + 1]


def test_the_same_forms_rank_the_same_again() -> None:
    random = np.random.default_rng(5)
    forms = [features(random, "binary") for _ in range(FORMS)]
    page = scanned(forms[3], random, 10, 1.0)
    assert Ranking.of(forms).likest(page, FORMS) == Ranking.of(forms).likest(page, FORMS)


def test_forms_and_pages_without_points_are_like_nothing() -> None:
    random = np.random.default_rng(5)
    nothing = features(random, "binary", 0)
    forms = [nothing, features(random, "binary")]
    assert Ranking.of(forms).likest(scanned(forms[1], random, 0, 1.0), 1) == [1]
    assert sorted(Ranking.of(forms).likest(nothing, 2)) == [0, 1]
    assert sorted(Ranking.of([nothing, nothing]).likest(forms[1], 2)) == [0, 1]


def test_what_is_scaled_keeps_its_turns() -> None:
    form = features(np.random.default_rng(5), "binary")
    twice = moved(form, scaling(2, 2))
    assert np.array_equal(twice.points, 2 * form.points)
    assert np.array_equal(twice.sizes, 2 * form.sizes)
    assert np.array_equal(twice.turns, form.turns)
