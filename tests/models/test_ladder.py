"""Every architecture of the ladder has the shape that its tutorial, or a scan, asks for."""

import numpy as np
import pytest

from mnist_batch import statuses
from mnist_batch.learning import digits
from mnist_batch.models.ladder import LADDER

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("name", "parameters", "output"),
    [
        ("linear", 784 * 10 + 10, "sigmoid"),
        ("hidden", 784 * 100 + 100 + 100 * 10 + 10, "sigmoid"),
        ("deep", 784 * 50 + 50 + 50 * 50 + 50 + 50 * 10 + 10, "sigmoid"),
        ("dropout", 784 * 1024 + 1024 + 1024 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10, "softmax"),
        ("cnn", 198_442, "softmax"),
    ],
)
def test_every_model_of_the_ladder_is_its_tutorials(name: str, parameters: int, output: str) -> None:
    model = LADDER[name].build()
    assert model.count_params() == parameters
    assert model.layers[-1].activation.__name__ == output
    pictures = digits.mnist("test")[0][:8]
    outputs = model(pictures).numpy()
    assert outputs.shape == (8, 10)
    # Scaling to 0..1 is inside: the first layer that learns sees no 255.
    assert model.layers[0](pictures).numpy().max() == pytest.approx(1.0)


@pytest.mark.parametrize(("name", "parameters"), [("scanned", 293_932), ("strided", 342_220)])
def test_models_for_scans_have_two_further_answers(name: str, parameters: int) -> None:
    model = LADDER[name].build()
    assert model.count_params() == parameters
    outputs = model(digits.mnist("test")[0][:8]).numpy()
    assert outputs.shape == (8, 10 + len(statuses.REFUSALS))
    assert np.allclose(outputs.sum(axis=1), 1, atol=1e-5)
