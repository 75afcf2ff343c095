"""From trained weights to the files of a model bundle."""

import hashlib
import json
import re
import shlex
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_batch import versions
from mnist_batch.learning import curve, digits, fine_tuning, validating
from mnist_batch.learning.shares import EMBEDDED
from mnist_batch.models import bundle, calibrating, ladder
from mnist_batch.models.ladder import LADDER, Model
from mnist_batch.schemas import tables


@dataclass(frozen=True)
class Member:
    """A net that is trained: its name on the ladder, its seed, its weights as Keras orders them, a line an epoch."""

    model: str
    seed: int
    weights: list[NDArray[Any]]
    history: list[dict[str, Any]]


def save_bundle(
    folder: Path,
    members: Sequence[Member],
    validation: tuple[NDArray[np.uint8], NDArray[np.int8]],
    config: Mapping[str, Any],
) -> None:
    """Write the files of a bundle into a new folder: both models, the history, model.json with tests and calibration.

    ``validation`` are the digits held out, uint8 (N, 28, 28) and int8 (N,), on which the confidence of the whole is
    calibrated, but for those of MNIST whose label is wrong. Of ``config``, ``recipe``, ``about`` and ``start`` are what
    decided the weights, ``scans`` what there is to say of a user's own.
    """
    recipe, about = config["recipe"], config["about"]
    folder.mkdir()
    nets = []
    for member in members:
        # Built again outside the strategy: mirrored variables do not export.
        nets.append(LADDER[member.model].build())
        nets[-1].set_weights(member.weights)
    model = nets[0] if len(nets) == 1 else ladder.average(nets)
    held_out = model.predict(validation[0], batch_size=1000, verbose=0)
    wrong = digits.wrongly_labelled() if about["data"] == EMBEDDED else set()
    trusted = np.array([picture.tobytes() not in wrong for picture in validation[0]])
    calibration = calibrating.calibrate(held_out[trusted], validation[1][trusted])
    calibration["wrongly_labelled"] = int((~trusted).sum())
    validated = validating.validate(held_out, validation[1])
    if config["start"] is not None:
        validated["before"] = _before(config["start"], *validation)
    images, labels = digits.mnist("test")
    outputs = [net.predict(images, batch_size=1000, verbose=0) for net in nets]
    mean = np.mean(outputs, axis=0)
    confidence = calibrating.tempered(mean, calibration["temperature"]).max(axis=1)
    save_model(folder, model)
    history = [{"seed": member.seed, **line} for member in members for line in member.history]
    (folder / "history.json").write_text(json.dumps(history, indent=2) + "\n")
    (folder / "history.png").write_bytes(curve.history(history))
    bundle.describe(
        folder,
        {
            "architecture": recipe["model"],
            "parameters": model.count_params(),
            "training": {
                **about,
                **recipe,
                "seeds": [member.seed for member in members],
                "members": [member.model for member in members],
            },
            **({"scans": config["scans"]} if config["scans"] else {}),
            "command": _command(recipe, about),
            "validation": validated,
            "weights": weights_digest(model),
            "test": {
                "data": "MNIST test",
                "digits": len(labels),
                "accuracy": _accuracy(mean, labels),
                "members": [_accuracy(own, labels) for own in outputs],
                "expected_calibration_error": calibrating.expected_calibration_error(
                    confidence, mean[:, : tables.CLASSES].argmax(axis=1) == labels
                ),
            },
            "calibration": calibration,
            "versions": versions.versions(),
            "packages": versions.packages(),
        },
    )


def _before(start: fine_tuning.Start, images: NDArray[np.uint8], labels: NDArray[np.int8]) -> dict[str, Any]:
    """What the bundle that a fine-tuning began with makes of the digits held out, but for the digits one by one."""
    outputs = [net.predict(images, batch_size=1000, verbose=0) for net in fine_tuning.load_nets(start.archive)]
    validated = validating.validate(np.mean(outputs, axis=0), labels)
    return {name: value for name, value in validated.items() if name != "per_class"}


def save_model(folder: Path, model: Model) -> None:
    """Write ``model.keras`` and ``model.onnx``: of the same weights the same bytes, whenever and wherever."""
    model.save(folder / "model.keras")
    _forget_when(folder / "model.keras")
    model.export(str(folder / "model.onnx"), format="onnx", verbose=False)
    _name_in_order(folder / "model.onnx")


def _forget_when(archive: Path) -> None:
    # Keras writes times and addresses in memory into its archives.
    with zipfile.ZipFile(archive) as saved:
        contents = {name: saved.read(name) for name in saved.namelist()}
    metadata = json.loads(contents["metadata.json"]) | {"date_saved": ""}
    contents["metadata.json"] = json.dumps(metadata).encode()
    # Keras names what layers share by where it lies.
    numbers: defaultdict[bytes, int] = defaultdict(lambda: len(numbers))
    shared = re.compile(rb'(?<="shared_object_id": )\d+')
    contents["config.json"] = shared.sub(lambda found: b"%d" % numbers[found[0]], contents["config.json"])
    with zipfile.ZipFile(archive, "w") as written:
        for name, content in contents.items():
            written.writestr(zipfile.ZipInfo(name), content)


def _name_in_order(path: Path) -> None:
    # tf2onnx numbers what it makes in the order of a set, which is another one in every process, and TensorFlow its
    # functions in the order in which the process came to them.
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


def _accuracy(outputs: NDArray[Any], labels: NDArray[np.int8]) -> float:
    return float((outputs[:, : tables.CLASSES].argmax(axis=1) == labels).mean())


def _command(recipe: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    flags = [f"--{name.replace('_', '-')} {value}" for name, value in recipe.items()]
    data = [] if about["data"] == EMBEDDED else [f"--data {shlex.quote(about['data'])}"]
    start = [f"--from {shlex.quote(about['from']['bundle'])}"] if "from" in about else []
    return " ".join(["python -m jobs.train", *flags, *data, *start, "--out FOLDER"])


def weights_digest(model: Model) -> str:
    """The SHA-256 of all weights in their order, 16 hex digits of it."""
    return hashlib.sha256(b"".join(weight.numpy().tobytes() for weight in model.weights)).hexdigest()[:16]
