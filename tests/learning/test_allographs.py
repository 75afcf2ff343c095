"""Digits written as strokes are what their label says."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mnist_batch.learning import allographs
from mnist_batch.models import bundle
from mnist_batch.models.answers import Model, ModelSpec


def written(label: int, count: int) -> NDArray[np.uint8]:
    return np.stack([allographs.write(label, np.random.default_rng([label, number])) for number in range(count)])


@pytest.mark.parametrize("label", allographs.FORMS)
def test_a_written_digit_is_a_picture_as_mnist_has_them_and_the_same_from_the_same_generator(label: int) -> None:
    pictures = written(label, 60)
    assert (pictures.shape, pictures.dtype) == ((60, 28, 28), np.uint8)
    ink = np.count_nonzero(pictures > 128, axis=(1, 2))
    assert ink.min() >= 20
    assert ink.max() <= 300
    assert np.array_equal(pictures, written(label, 60))
    assert len(np.unique(pictures, axis=0)) == 60


@pytest.mark.parametrize("label", set(allographs.FORMS) - {1})
def test_a_written_digit_is_read_as_its_label(label: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the bundle that is shipped; MNIST's writers alone do not teach that a 1 may have a long upstroke."""
    model = Model.open(ModelSpec(bundle.SHIPPED))
    for form in allographs.FORMS[label]:
        monkeypatch.setitem(allographs.FORMS, label, (form,))
        digit = model.answers(written(label, 60)).digit
        assert (digit == label).mean() > 0.5


def test_a_curve_goes_through_its_points_and_turns_sharply_where_one_is_given_twice() -> None:
    points = np.array([(0, 0), (10, 2), (10, 2), (4, 12), (9, 20)], float)
    curve = allographs._curve(points)
    assert all(np.hypot(*(curve - point).T).min() < 1e-9 for point in points)
    assert curve.shape == (3 * allographs.STEPS, 2)
    ways = np.diff(curve, axis=0)
    ways = ways[np.hypot(*ways.T) > 1e-9]
    turns = np.degrees(np.abs(np.angle(np.exp(1j * np.diff(np.arctan2(ways[:, 1], ways[:, 0]))))))
    smooth, corner = np.sort(turns)[-2:]
    assert corner > 90 > 45 > smooth
