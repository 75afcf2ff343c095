"""A bundle whose digests are right and whose author is not: refused before any of its code can run."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from jobs import score
from mnist_batch.errors import InputError
from mnist_batch.models import bundle, engines, vetting
from mnist_batch.schemas.bundle_facts import BundleFacts, MnistTest
from tests.support.ruler import keras_archive, write_scan


@pytest.fixture
def bundled(ruler: str, tmp_path: Path) -> Callable[..., str]:
    """Makes a bundle like the ruler with another file in it, whose digest ``model.json`` records."""

    def make(**files: bytes) -> str:
        folder = tmp_path / "bundle"
        folder.mkdir()
        for name in bundle.MODEL_FILES:
            content = files.get(name.removeprefix("model."))
            (folder / name).write_bytes((Path(ruler) / name).read_bytes() if content is None else content)
        bundle.describe(folder, BundleFacts(architecture="ruler", test=MnistTest(1.0)))
        return str(folder)

    return make


def refused(location: str) -> str:
    with pytest.raises(InputError) as refusal:
        vetting.vet(bundle.open_bundle(location))
    assert f"--model {location}: model." in str(refusal.value)
    return str(refusal.value)


class Canary:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "it ran")


def lambda_layer(canary: Path) -> bytes:
    """A model that Keras made, with a Lambda layer that leaves a file behind when it is called."""
    import keras

    code = compile(f"lambda x: (open({str(canary)!r}, 'w').close(), x)[1]", "canary", "eval")
    layers = [keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Lambda(eval(code), output_shape=(784,))]
    model = keras.Sequential([*layers, keras.layers.Dense(10)])
    canary.unlink(missing_ok=True)
    saved = canary.with_suffix(".keras")
    model.save(saved)
    content = saved.read_bytes()
    saved.unlink()
    return content


def test_a_lambda_layer_is_refused_and_does_not_run(
    bundled: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = tmp_path / "canary"
    location = bundled(keras=lambda_layer(canary))
    assert "keras.layers.Lambda, which is not among the layers allowed here" in refused(location)
    with pytest.raises(InputError, match=r"model.keras cannot be loaded"):  # the second line of defence
        engines.KerasEngine(bundle.open_bundle(location))
    write_scan(tmp_path / "in/1.png", 1)
    for engine in engines.ENGINES:
        arguments = [str(tmp_path / "in"), "--model", location, "--out", str(tmp_path / "out"), "--engine", engine]
        assert score.main(arguments) == 2
        assert "Lambda" in json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert not canary.exists()


@pytest.mark.parametrize(
    "item",
    [
        {"module": "os", "class_name": "system", "config": {"command": "touch canary"}, "registered_name": None},
        {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "canary"}},
        {"module": "keras.layers", "class_name": "Dense", "registered_name": "evil>Dense", "config": {}},
        {"module": None, "class_name": "Anything", "config": {}, "registered_name": "evil>Anything"},
        {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}},
        {"module": "builtins", "class_name": "function", "config": "eval"},
        {"module": "keras.initializers", "class_name": "__lambda__", "config": {"value": "4wEAAAA="}},
        {"module": "keras.layers", "class_name": ["Dense"], "config": {}},
    ],
)
def test_a_class_that_is_not_known_is_refused_wherever_it_stands(
    bundled: Callable[..., str], item: dict[str, Any]
) -> None:
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": [{"deep": [item]}]}}
    assert "which is not among the layers allowed here" in refused(bundled(keras=keras_archive(config)))


SEQUENTIAL = {"module": "keras", "class_name": "Sequential", "config": {}}


def weights(**members: Any) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, member in members.items():
            if isinstance(member, tuple):
                file.create_dataset(name, **member[0])
            else:
                file[name] = member
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (weights(a=np.zeros(3)), "it is not a Keras archive"),
        (b"", "it is not a Keras archive"),
        (keras_archive(SEQUENTIAL)[:-40], "it is not a Keras archive"),
        (keras_archive(SEQUENTIAL, **{"../evil.py": b"x"}), "it holds "),
        (keras_archive(SEQUENTIAL, **{"config.json": b"{"}), "it is not a Keras archive"),
        (keras_archive(SEQUENTIAL, **{"model.weights.h5": b"no"}), "its weights are not an HDF5 file"),
        (
            keras_archive(SEQUENTIAL, **{"model.weights.h5": weights(a=h5py.ExternalLink("/etc/passwd", "/"))}),
            "its weights link to '/etc/passwd', outside of it",
        ),
        (
            keras_archive(SEQUENTIAL, **{"model.weights.h5": weights(a=h5py.SoftLink("/b"))}),
            "link to '/b', outside of it",
        ),
        (
            keras_archive(
                SEQUENTIAL,
                **{
                    "model.weights.h5": weights(
                        a=({"shape": (9,), "dtype": "u1", "external": [("/etc/passwd", 0, 9)]},)
                    )
                },
            ),
            "its weights are in another file",
        ),
        (
            keras_archive(
                SEQUENTIAL,
                **{"model.weights.h5": weights(a=({"shape": (2**36,), "dtype": "u1", "chunks": (2**20,)},))},
            ),
            "its weights unpack to",
        ),
    ],
)
def test_what_is_no_plain_keras_archive_is_refused(bundled: Callable[..., str], content: bytes, why: str) -> None:
    assert why in refused(bundled(keras=content))


def test_a_zip_bomb_is_not_unpacked(bundled: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vetting, "MAX_BYTES", 10_000_000)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for name in vetting.ARCHIVE:
            writer.writestr(name, bytes(10_000_000))
    assert len(archive.getvalue()) < 100_000
    assert "it unpacks to 30,000,000 bytes" in refused(bundled(keras=archive.getvalue()))


def test_a_pickle_in_disguise_is_refused_and_does_not_run(bundled: Callable[..., str], tmp_path: Path) -> None:
    content = pickle.dumps(Canary(tmp_path / "canary"))
    refused(bundled(keras=content, onnx=content))
    assert not (tmp_path / "canary").exists()


def model(nodes: list[Any], constants: list[Any] = (), kind: int = TensorProto.UINT8, **options: Any) -> Any:
    picture = helper.make_tensor_value_info("picture", kind, ["n", 28, 28])
    outputs = helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["n", 10])
    graph = helper.make_graph(nodes, "graph", [picture], [outputs], constants)
    options.setdefault("opset_imports", [helper.make_opsetid("", 15)])
    return helper.make_model(graph, ir_version=8, **options)


def external() -> Any:
    tensor = numpy_helper.from_array(np.zeros((784, 10), np.float32), "weights")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


ONES = helper.make_node("ConstantOfShape", ["picture"], ["outputs"])


def outputs_of(*widths: int) -> Any:
    """A model with an output of each width, cut out of the picture."""
    nodes, constants = [], [numpy_helper.from_array(np.array([-1, 784]), "flat")]
    nodes.append(helper.make_node("Cast", ["picture"], ["grey"], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("Reshape", ["grey", "flat"], ["row"]))
    made = model(nodes, constants)
    del made.graph.output[:]
    for number, width in enumerate(widths):
        made.graph.initializer.append(numpy_helper.from_array(np.arange(width), f"columns_{number}"))
        gather = helper.make_node("Gather", ["row", f"columns_{number}"], [f"outputs_{number}"], axis=1)
        made.graph.node.append(gather)
        made.graph.output.append(
            helper.make_tensor_value_info(f"outputs_{number}", TensorProto.FLOAT, [f"n_{number}", width])
        )
    return made


HOSTILE = {
    "an operator of its own": (
        model([helper.make_node("Run", ["picture"], ["outputs"], domain="evil")],
              opset_imports=[helper.make_opsetid("", 15), helper.make_opsetid("evil", 1)]),
        "it has custom operators (evil)",
    ),
    "an unknown operator": (model([helper.make_node("Run", ["picture"], ["outputs"])]), "it is not a valid ONNX model"),
    "external weights": (model([ONES], [external()]), "its weights are in another file"),
    "external weights in a node": (
        model([helper.make_node("Constant", [], ["outputs"], value=external())]),
        "its weights are in another file",
    ),
    "external weights in a branch": (
        model([helper.make_node("If", ["picture"], ["outputs"], then_branch=model([ONES], [external()]).graph)]),
        "its weights are in another file",
    ),
    "another input": (
        model(
            [
                helper.make_node("Reshape", ["picture", "flat"], ["row"]),
                helper.make_node("Gather", ["row", "first"], ["outputs"], axis=1),
            ],
            [numpy_helper.from_array(np.array([-1, 784]), "flat"), numpy_helper.from_array(np.arange(10), "first")],
            kind=TensorProto.FLOAT,
        ),
        "picture is FLOAT [0, 28, 28], but it must take UINT8",
    ),
    "three outputs": (outputs_of(10, 10, 10), "it has 1 inputs and 3 outputs, but needs one, and one or two"),
    "a second output of another kind": (outputs_of(10, 11), "outputs_1 is FLOAT [0, 11], but it must"),
    "outputs of different widths": (outputs_of(10, 12), "its two outputs are of different widths"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_onnx_model_that_is_more_than_standard_operators_is_refused(bundled: Callable[..., str], kind: str) -> None:
    hostile, why = HOSTILE[kind]
    assert why in refused(bundled(onnx=hostile.SerializeToString()))


def test_what_is_no_onnx_model_is_refused(bundled: Callable[..., str], ruler: str) -> None:
    content = (Path(ruler) / "model.onnx").read_bytes()
    assert "it is not a valid ONNX model" in refused(bundled(onnx=content[: len(content) // 2]))


def test_a_model_with_a_first_net_passes(bundled: Callable[..., str]) -> None:
    vetting.vet(bundle.open_bundle(bundled(onnx=outputs_of(12, 12).SerializeToString())))


def test_the_ruler_passes(ruler: str) -> None:
    vetting.vet(bundle.open_bundle(ruler))
    assert isinstance(onnx.load(Path(ruler) / "model.onnx"), onnx.ModelProto)


def test_every_model_of_the_ladder_is_made_of_layers_known_here() -> None:
    from mnist_batch.models.ladder import LADDER

    for architecture in LADDER.values():
        for layer in architecture.build().layers:
            assert type(layer).__name__ in vetting.KERAS["keras.layers"]
