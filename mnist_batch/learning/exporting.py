"""From a trained model to the files of its bundle."""

import hashlib
import json
import re
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnist_batch.learning import curve
from mnist_batch.learning.nets import Member
from mnist_batch.models import bundle
from mnist_batch.models.ladder import Model
from mnist_batch.schemas.bundle_facts import BundleFacts


def bundle_files(model: Model, members: Sequence[Member], facts: BundleFacts) -> dict[str, bytes]:
    """The files of a bundle, by name: both models, the history and its curve, and model.json, which has ``facts``."""
    history = [{"seed": member.recipe.seed, **epoch} for member in members for epoch in member.history]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save_model(folder, model)
        (folder / "history.json").write_text(json.dumps(history, indent=2) + "\n")
        (folder / "history.png").write_bytes(curve.history(history))
        bundle.describe(folder, facts)
        return {file.name: file.read_bytes() for file in folder.iterdir()}


def save_model(folder: Path, model: Model) -> None:
    """Write ``model.keras`` and ``model.onnx``: the same weights are the same bytes, whenever and wherever."""
    model(np.zeros((1, 28, 28), np.uint8))  # Keras exports no model that was never called
    model.save(folder / "model.keras")
    _make_archive_reproducible(folder / "model.keras")
    model.export(str(folder / "model.onnx"), format="onnx", verbose=False)
    _make_graph_reproducible(folder / "model.onnx")


def _make_archive_reproducible(archive: Path) -> None:
    # Keras writes times and addresses in memory into its archives.
    with zipfile.ZipFile(archive) as saved:
        contents = {name: saved.read(name) for name in saved.namelist()}
    metadata = json.loads(contents["metadata.json"]) | {"date_saved": ""}
    contents["metadata.json"] = json.dumps(metadata).encode()
    # An object that layers share is named by its address.
    numbers: defaultdict[bytes, int] = defaultdict(lambda: len(numbers))
    shared = re.compile(rb'(?<="shared_object_id": )\d+')
    contents["config.json"] = shared.sub(lambda match: b"%d" % numbers[match[0]], contents["config.json"])
    with zipfile.ZipFile(archive, "w") as written:
        for name, content in contents.items():
            written.writestr(zipfile.ZipInfo(name), content)


def _make_graph_reproducible(path: Path) -> None:
    # tf2onnx numbers values in the order of a set, which differs from process to process; TensorFlow numbers functions
    # in the order in which the process traced them.
    import onnx

    whole = onnx.load(path)
    graph = whole.graph
    graph.doc_string = ""
    names = {"": "", **{value.name: value.name for value in [*graph.input, *graph.output]}}
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{number}"
        for values in (node.input, node.output):
            values[:] = [names.setdefault(name, f"value_{len(names)}") for name in values]
    constants = {names[constant.name]: constant for constant in graph.initializer}
    for name, constant in constants.items():
        constant.name = name
    ordered = [constants[name] for name in names.values() if name in constants]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(ordered)
    onnx.save(whole, path)


def weights_digest(model: Model) -> str:
    """The first 16 hex digits of the SHA-256 of all weights in their order."""
    return hashlib.sha256(b"".join(weight.numpy().tobytes() for weight in model.weights)).hexdigest()[:16]
