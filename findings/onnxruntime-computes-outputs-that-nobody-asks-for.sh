#!/usr/bin/env bash
# A model has two outputs: a cheap one, and one behind a costly convolution. A good guess: a run that asks for the cheap
# output alone computes what leads to it, as the ONNX Runtime API takes a list of the outputs wanted, and the more so with
# the option that is called "execute only the path to what is fetched".
#
# What happens: every run computes both branches, with the option and without; the list decides only what is returned. To
# pay for one output only, cut the graph for it (onnx.utils.Extractor) and make a session of that.
# Seen on 2026-11-29 with onnxruntime 1.31.1 on a processor without a GPU
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.utils import Extractor

print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, "numpy", np.__version__)
weights = numpy_helper.from_array(np.ones((4, 1, 3, 3), np.float32), "weights")
graph = helper.make_graph(
    [
        helper.make_node("ReduceMax", ["picture"], ["cheap"], keepdims=0),
        helper.make_node("Conv", ["picture", "weights"], ["features"]),
        helper.make_node("ReduceMax", ["features"], ["costly"], keepdims=0),
    ],
    "two_outputs",
    [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 1, 28, 28])],
    [helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in ("cheap", "costly")],
    [weights],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
picture = np.zeros((1, 1, 28, 28), np.float32)


def convolutions(model, only_path=False):
    """How many convolutions are computed by a run that asks for the cheap output alone."""
    options, asked = onnxruntime.SessionOptions(), onnxruntime.RunOptions()
    options.enable_profiling, options.profile_file_prefix = True, "profile"
    asked.only_execute_path_to_fetches = only_path
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = session.run(["cheap"], {"picture": picture}, asked)
    assert len(found) == 1
    events = json.loads(pathlib.Path(session.end_profiling()).read_text())
    kinds = [event["args"].get("op_name", "") for event in events if event["name"].endswith("_kernel_time")]
    return sum("Conv" in kind for kind in kinds)


seen = convolutions(model), convolutions(model, only_path=True)
cut = convolutions(Extractor(model).extract_model(["picture"], ["cheap"]))
print("convolutions computed for the cheap output:", seen[0], "with the option:", seen[1], "with a graph of its own:", cut)
if (*seen, cut) != (1, 1, 0):
    sys.exit("this has changed")
PYTHON
