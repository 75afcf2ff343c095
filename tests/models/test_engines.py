"""The first net of a model answers where it is sure, and the others are asked of nothing but the rest."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from mnist_batch.learning import digits, exporting
from mnist_batch.models import bundle, engines, ladder
from mnist_batch.schemas.bundle_facts import BundleFacts, MnistTest

Values = NDArray[np.float32]
OUTPUTS = st.integers(1, 6).flatmap(
    lambda count: arrays(np.float32, (2, count, 12), elements=st.floats(0, 1, width=32))
)


@given(OUTPUTS)
def test_an_answer_is_the_first_nets_where_it_is_sure_of_a_digit_and_else_that_of_the_others(outputs: Values) -> None:
    mean, first = outputs
    values, alone = engines.combined(mean, first)
    assert alone.tolist() == [bool(row[:10].max() >= engines.SURE_FROM) for row in first]
    for row, by_first in enumerate(alone):
        assert np.array_equal(values[row], (first if by_first else mean)[row])


def test_a_model_without_a_first_net_answers_with_all_it_has() -> None:
    mean = np.full((3, 12), 0.999, np.float32)
    values, alone = engines.combined(mean)
    assert np.array_equal(values, mean)
    assert not alone.any()


@pytest.fixture(scope="module")
def quickly_trained(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    """A bundle of two members and a first net that has learned for a moment, so that it is sure of some digits."""
    import keras

    keras.utils.set_random_seed(5)
    images, labels = (array[:3000] for array in digits.mnist("train"))
    nets = [ladder.LADDER[name].build() for name in ("hidden", "linear", "hidden")]
    nets[-1].compile("adam", "sparse_categorical_crossentropy")
    nets[-1].fit(images, labels, batch_size=32, epochs=4, verbose=0)
    model = ladder.joined("ensemble", nets)
    folder = tmp_path_factory.mktemp("two")
    exporting.save_model(folder, model)
    bundle.describe(folder, BundleFacts(architecture="ensemble", test=MnistTest(1.0)))
    return bundle.open_bundle(str(folder))


@pytest.mark.long
def test_onnx_asks_the_others_only_where_the_first_net_is_not_sure_and_agrees_with_keras(
    quickly_trained: bundle.Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = digits.mnist("test")[0][:300]
    onnx = engines.OnnxEngine(quickly_trained)
    asked: list[int] = []
    whole: Callable[..., Values] = onnx._asked
    monkeypatch.setattr(
        onnx, "_asked", lambda session, batch, size: asked.append(len(batch)) or whole(session, batch, size)
    )
    values, alone = onnx(pictures)
    assert 0 < alone.sum() < len(pictures)
    assert asked == [len(pictures), int((~alone).sum())]
    by_keras = engines.KerasEngine(quickly_trained)(pictures)
    # Where the first net is as good as sure, rounding decides who answers.
    same = by_keras.alone == alone
    assert same.mean() > 0.99
    assert np.abs(values - by_keras.values)[same].max() <= 1e-5


@pytest.mark.long
def test_an_answer_depends_on_its_picture_alone(quickly_trained: bundle.Bundle) -> None:
    pictures = digits.mnist("test")[0][:120]
    onnx = engines.OnnxEngine(quickly_trained)
    values, alone = onnx(pictures)
    order = np.random.default_rng(1).permutation(len(pictures))
    shuffled = onnx(pictures[order])
    assert np.array_equal(shuffled.alone, alone[order])
    assert np.abs(shuffled.values - values[order]).max() <= 1e-6
    for row in range(0, len(pictures), 10):
        assert np.abs(onnx(pictures[row : row + 1]).values - values[row]).max() <= 1e-6


def test_a_bundle_has_the_first_net_last_among_its_nets() -> None:
    assert ladder.nets_of("ensemble") == (*ladder.LADDER["ensemble"].members, ladder.LADDER["ensemble"].first)
    assert ladder.nets_of("cnn") == ("cnn",)
