"""A bundle is there whole, is what model.json says, or is refused with a sentence."""

import json
import re
import shutil
from pathlib import Path

import pytest

from mnist_batch.errors import InputError
from mnist_batch.models import bundle
from mnist_batch.schemas.bundle_facts import BundleFacts, MnistTest


@pytest.fixture
def copy(ruler: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ruler, tmp_path / "bundle"))


def test_a_bundle_opens_by_path_and_by_uri(copy: Path) -> None:
    opened, remote = bundle.open_bundle(str(copy)), bundle.open_bundle(f"fsspec+file://{copy}")
    assert opened.digest == remote.digest
    assert opened.read("model.onnx") == remote.read("model.onnx") == (copy / "model.onnx").read_bytes()


@pytest.mark.parametrize("name", bundle.MODEL_FILES)
def test_one_changed_byte_is_refused(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} has sha256 .* changed after training"):
        bundle.open_bundle(str(copy))


@pytest.mark.parametrize("name", bundle.MODEL_FILES)
def test_a_missing_model_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(InputError, match=f"{name} is missing"):
        bundle.open_bundle(str(copy))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no model bundle there"),
        ("", "model.json cannot be used: Expecting value"),
        ("[]", "model.json cannot be used: it holds a JSON list, not an object"),
        ("{}", "model.json cannot be used: the bundle has format None, but this version reads 1 to 5"),
        ('{"format": 2}', "model.json cannot be used: it lacks architecture"),
        ('{"format": 2, "architecture": "a", "test": {"accuracy": "x"}}', "model.json cannot be used: test.accuracy: "),
        ('{"format": 1, "architecture": "a", "test": {"accuracy": 1}, "sha256": {"model.onnx": "0"}}', "no digest of"),
    ],
)
def test_a_folder_without_a_usable_description_is_refused(copy: Path, content: str | None, message: str) -> None:
    (copy / "model.json").unlink()
    if content is not None:
        (copy / "model.json").write_text(content)
    with pytest.raises(InputError, match=re.escape(message)):
        bundle.open_bundle(str(copy))


def test_a_bundle_of_another_format_is_refused(copy: Path) -> None:
    info = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**info, "format": 99}))
    with pytest.raises(InputError, match="format 99"):
        bundle.open_bundle(str(copy))


@pytest.mark.parametrize("scheme", ["", "fsspec+file://"])
def test_publishing_replaces_a_bundle_and_leaves_nothing_else(copy: Path, tmp_path: Path, scheme: str) -> None:
    target = tmp_path / "models/digits"
    first = bundle.publish(copy, f"{scheme}{target}")
    (copy / "model.keras").write_bytes(b"another")
    bundle.describe(copy, BundleFacts(architecture="ruler", test=MnistTest(1.0)))
    second = bundle.publish(copy, f"{scheme}{target}")
    assert first.digest != second.digest == bundle.open_bundle(str(target)).digest
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["digits"]
    assert sorted(path.name for path in target.iterdir()) == ["model.json", "model.keras", "model.onnx"]


def test_a_bundle_cannot_be_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a file")
    for check in (lambda to: bundle.check_new(to, "--out"), bundle.check_free):
        with pytest.raises(
            InputError, match=r"^--out \S+/file/a/b: \S+/file is a file and no folder; give another place"
        ):
            check(f"{tmp_path}/file/a/b")


def test_what_is_no_bundle_is_never_replaced(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    bundle.publish(copy, str(tmp_path / "empty"))
    (tmp_path / "file").write_text("precious")
    for target in (tmp_path, tmp_path / "file"):
        with pytest.raises(InputError, match="something that is not a model bundle"):
            bundle.publish(copy, str(target))
    assert (tmp_path / "file").read_text() == "precious"
