"""The bundle that comes with the package reads what scanners deliver: some of the pages of benchmarks/accuracy.py."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import accuracy
from mnist_batch import augmenting, bundle, digits, inference, vetting
from mnist_batch.normalising import normalise


@pytest.fixture(scope="module")
def engine() -> inference.OnnxEngine:
    return inference.OnnxEngine(bundle.open_bundle(bundle.SHIPPED))


def test_the_shipped_bundle_is_small_whole_and_what_it_says() -> None:
    shipped = bundle.open_bundle(bundle.SHIPPED)
    vetting.vet(shipped)
    assert sum(path.stat().st_size for path in Path(bundle.SHIPPED).iterdir()) < 8 * 1024**2
    assert shipped.info["architecture"] == "scanned"
    images, labels = digits.mnist("test")
    answers = inference.OnnxEngine(shipped)(images).argmax(axis=1)
    assert (answers == labels).mean() == pytest.approx(shipped.info["test"]["accuracy"], abs=1e-9)


# Each floor is two points below what benchmarks/accuracy.json says of all pages.
@pytest.mark.parametrize("name", [*accuracy.SETS, "load_digits"])
def test_the_shipped_bundle_reads_scans(engine: inference.OnnxEngine, name: str) -> None:
    measured = accuracy.json.loads(accuracy.RESULTS.read_text())[name]["normalised"]
    pages, labels = accuracy.pages(name, 400)
    answers = engine(np.stack([normalise(page) for page in pages])).argmax(axis=1)
    assert (answers == labels).mean() >= measured - 0.02


def test_a_digit_looks_another_way_each_time_and_the_same_with_the_same_seed() -> None:
    images, labels = digits.mnist("train")
    looks = [augmenting.augment(images[:60], labels[:60], np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert looks[0].shape == (60, 28, 28)
    assert looks[0].dtype == np.uint8
    assert np.array_equal(looks[0], looks[1])
    assert (looks[0] != looks[2]).any(axis=(1, 2)).all()
    assert looks[0].any(axis=(1, 2)).all()
    assert len(augmenting.augment(images[:0], labels[:0], np.random.default_rng(1))) == 0
