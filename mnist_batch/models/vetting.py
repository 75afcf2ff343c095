"""Checks of a model's files, made before anything opens them that could run code from them.

A digest proves that a file is the one that was recorded, not that its author is honest. So ``model.keras`` must consist
of Keras layers that are known here, and ``model.onnx`` of standard operators with all data in the file itself.
"""

import json
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from mnist_batch.errors import InputError
from mnist_batch.models.bundle import Bundle
from mnist_batch.schemas.tables import CLASSES
from mnist_batch.statuses import REFUSALS

MAX_BYTES = 1024**3
ARCHIVE = {"metadata.json", "config.json", "model.weights.h5"}
DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
KERAS = {
    "keras": {"Sequential", "Functional", "DTypePolicy"},
    "keras.layers": {
        "Activation", "Add", "Average", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D", "Dense",
        "DepthwiseConv2D", "Dropout", "ELU", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "InputLayer",
        "LayerNormalization", "LeakyReLU", "MaxPooling2D", "Multiply", "Permute", "ReLU", "Rescaling", "Reshape",
        "SeparableConv2D", "Softmax", "SpatialDropout2D", "ZeroPadding2D",
    },
    "keras.initializers": {
        "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform", "Ones",
        "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Zeros",
    },
    "keras.regularizers": {"L1", "L2", "L1L2"},
    "keras.src.models.functional": {"Functional"},
    "None": {"__keras_tensor__"},  # how a functional model names the inputs of its layers
}  # fmt: skip


REGISTERED = {"keras.src.models.functional": "Functional"}  # how Keras saves a model of several branches


class _Refused(Exception):
    pass


def vet(model: Bundle) -> None:
    """Raise InputError, naming the file, if a file of the bundle has contents that are not allowed here."""
    for name, examine in (("model.keras", _examine_keras), ("model.onnx", _examine_onnx)):
        try:
            examine(model.read(name))
        except _Refused as why:
            reason = str(why)
        except Exception as error:  # noqa: BLE001 - a strange file may cause any exception
            reason = f"it cannot be examined ({type(error).__name__}: {error})"[:300]
        else:
            continue
        raise InputError(
            f"{model.argument} {model.location}: {name} is refused: {reason}; use a bundle that jobs.train wrote"
        )


def _examine_keras(content: bytes) -> None:
    """Refuse anything but an archive of Keras's three files with classes from ``KERAS`` and all weights inside."""
    try:
        archive = zipfile.ZipFile(BytesIO(content))
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        if set(sizes) != ARCHIVE:
            raise _Refused(f"it holds {sorted(sizes)[:9]}, but a Keras archive has {sorted(ARCHIVE)}")
        if sum(sizes.values()) > MAX_BYTES:
            raise _Refused(f"it unpacks to {sum(sizes.values()):,} bytes, more than {MAX_BYTES:,}")
        config = json.loads(archive.read("config.json"))
        weights = archive.read("model.weights.h5")
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise _Refused(f"it is not a Keras archive ({error})") from None
    for item in _dicts(config):
        if item.keys().isdisjoint(("class_name", "module", "registered_name")):
            continue
        module, name = item.get("module"), item.get("class_name")
        registered = item.get("registered_name")
        if str(name) not in KERAS.get(str(module), set()) or registered not in (None, REGISTERED.get(str(module))):
            raise _Refused(f"it has a {module}.{name}, which is not among the layers allowed here")
    _examine_weights(weights)


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield value
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _examine_weights(content: bytes) -> None:
    import h5py

    try:
        with h5py.File(BytesIO(content)) as file:
            groups, seen, size = [file], set(), 0
            while groups:
                group = groups.pop()
                if (address := h5py.h5o.get_info(group.id).addr) in seen:
                    continue
                seen.add(address)
                for name in group:
                    link = group.get(name, getlink=True)
                    if not isinstance(link, h5py.HardLink):
                        raise _Refused(f"its weights link to {getattr(link, 'filename', link.path)!r}, outside of it")
                    item = group[name]
                    if isinstance(item, h5py.Group):
                        groups.append(item)
                    elif not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
                        raise _Refused("its weights are in another file")
                    else:
                        size += item.nbytes
            if size > MAX_BYTES:
                raise _Refused(f"its weights unpack to {size:,} bytes, more than {MAX_BYTES:,}")
    except (OSError, RuntimeError, KeyError) as error:
        raise _Refused(f"its weights are not an HDF5 file ({error})") from None


def _examine_onnx(content: bytes) -> None:
    """Refuse anything but standard operators, all tensors inside, uint8 (N, 28, 28) in, float32 (N, 10 or 12) out."""
    import onnx

    try:
        model = onnx.load_model_from_string(content)
        foreign = {entry.domain for entry in model.opset_import} - DOMAINS
        foreign |= {node.domain for graph in _graphs(model.graph) for node in graph.node} - DOMAINS
        if foreign or model.functions:
            raise _Refused(f"it has custom operators ({', '.join(sorted(foreign)) or 'functions'})")
        for graph in _graphs(model.graph):
            tensors = list(graph.initializer)
            tensors += [tensor for sparse in graph.sparse_initializer for tensor in (sparse.values, sparse.indices)]
            for node in graph.node:
                for attribute in node.attribute:
                    tensors += [attribute.t, *attribute.tensors]
                    for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                        tensors += [sparse.values, sparse.indices]
            if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
                raise _Refused("its weights are in another file")
        onnx.checker.check_model(model, full_check=True)
    except _Refused:
        raise
    except Exception as error:  # noqa: BLE001 - protobuf and the checker raise exceptions of many classes
        raise _Refused(f"it is not a valid ONNX model ({str(error).splitlines()[0][:200]})") from None
    inputs, outputs = [*model.graph.input], [*model.graph.output]
    if len(inputs) != 1 or len(outputs) not in (1, 2):
        raise _Refused(f"it has {len(inputs)} inputs and {len(outputs)} outputs, but needs one, and one or two")
    digits, widths = [[28, 28]], [[CLASSES], [CLASSES + len(REFUSALS)]]
    given = [(inputs[0], onnx.TensorProto.UINT8, digits), *((each, onnx.TensorProto.FLOAT, widths) for each in outputs)]
    for value, kind, allowed in given:
        tensor = value.type.tensor_type
        first, *sizes = (dim.dim_value for dim in tensor.shape.dim)
        if tensor.elem_type != kind or first or sizes not in allowed:
            what = f"{onnx.TensorProto.DataType.Name(tensor.elem_type)} {[first, *sizes]}"
            raise _Refused(f"{value.name} is {what}, but it must take UINT8 [n, 28, 28] and give FLOAT [n, 10 or 12]")
    if len({value.type.tensor_type.shape.dim[1].dim_value for value in outputs}) > 1:
        raise _Refused("its two outputs are of different widths")


def _graphs(graph: Any) -> Iterator[Any]:
    pending = [graph]
    while pending:
        graph = pending.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                pending.extend(attribute.graphs)
                if attribute.HasField("g"):
                    pending.append(attribute.g)
