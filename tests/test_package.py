"""What a user of the installed package relies on: it carries its data, imports light, and tells its versions."""

import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from mnist_batch import bundle, digits, plots, tables, versions
from mnist_batch.models import LADDER


def test_importing_the_package_starts_nothing_and_leaves_tensorflow_alone() -> None:
    modules = "bundle digits errors images inference locations models plots report runs scans tables training versions"
    code = (
        f"import sys; from mnist_batch import {', '.join(modules.split())}; import jobs.train, jobs.report; "
        "loaded = {'tensorflow', 'keras', 'ray', 'onnxruntime', 'matplotlib'} & set(sys.modules); "
        "sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    scoring = "import sys, mnist_batch.scoring, ray; sys.exit('tensorflow' in sys.modules or ray.is_initialized())"
    subprocess.run([sys.executable, "-c", scoring], check=True)


@pytest.mark.parametrize(("split", "count", "of_seven"), [("train", 60_000, 6_265), ("test", 10_000, 1_028)])
def test_the_embedded_mnist_is_whole(split: str, count: int, of_seven: int) -> None:
    images, labels = digits.mnist(split)
    assert (images.shape, images.dtype, labels.dtype) == ((count, 28, 28), np.uint8, np.int8)
    assert np.count_nonzero(labels == 7) == of_seven
    again, truth = digits.arrays([digits.table(images[:50], labels[:50]), digits.table(images[50:99], labels[50:99])])
    assert np.array_equal(again, images[:99])
    assert np.array_equal(truth, labels[:99])


@pytest.mark.parametrize(
    ("name", "parameters", "output"),
    [
        ("linear", 784 * 10 + 10, "sigmoid"),
        ("hidden", 784 * 100 + 100 + 100 * 10 + 10, "sigmoid"),
        ("deep", 784 * 50 + 50 + 50 * 50 + 50 + 50 * 10 + 10, "sigmoid"),
        ("dropout", 784 * 1024 + 1024 + 1024 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10, "softmax"),
        ("cnn", None, "softmax"),
    ],
)
def test_every_model_of_the_ladder_is_its_tutorials(name: str, parameters: int | None, output: str) -> None:
    model = LADDER[name].build()
    found = model.count_params()
    assert found == parameters if parameters else found < 500_000
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
    assert outputs.shape == (8, 10 + len(tables.REFUSALS))
    assert np.allclose(outputs.sum(axis=1), 1, atol=1e-5)


def test_the_wheel_carries_data_template_and_licences(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    source = shutil.copytree(root, tmp_path / "source", ignore=shutil.ignore_patterns(".*", "tests", "demo", "build"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(tmp_path), str(source)], check=True)
    [wheel] = tmp_path.glob("*.whl")
    carried = set(zipfile.ZipFile(wheel).namelist())
    data = {"mnist_batch/data/mnist.npz", "mnist_batch/data/README.md", "mnist_batch/report.html.j2"}
    data |= {f"mnist_batch/data/ensemble/{name}" for name in ("model.json", *bundle.MODEL_FILES)}
    assert data | {"jobs/score.py"} <= carried
    assert any(name.endswith("licenses/LICENSE") for name in carried)


def test_plots_are_pictures() -> None:
    history = [
        {"seed": 1, "epoch": 1, "loss": 0.3, "accuracy": 0.9, "validation_loss": 0.2, "validation_accuracy": 0.95},
        {"seed": 1, "epoch": 2, "loss": 0.2, "accuracy": 0.95, "validation_loss": 0.1, "validation_accuracy": 0.97},
    ]
    pictures = [plots.history(history), plots.confusion(np.eye(10, dtype=np.int64)), plots.answers({"3": 7})]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def test_versions_are_those_installed() -> None:
    assert versions.versions()["ray"] == metadata.version("ray")
