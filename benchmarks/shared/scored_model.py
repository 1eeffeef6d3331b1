"""The scored model: the sum of its features. The pipeline's latency is measured, not a model's."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from benchmarks.shared.plans import SCORED_FEATURES, SERVICE

_OPSET = 13
_IR_VERSION = 8
"""Old enough for every ONNX Runtime that Forebay takes."""


def write_model(folder: Path, inputs: int = SCORED_FEATURES) -> Path:
    """Writes `model.onnx` and `model.yaml`; returns the folder of the model's version.

    Args:
        inputs: how many features it takes.
    """
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, inputs])
    total = helper.make_tensor_value_info("total", TensorProto.FLOAT, [None])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node("ReduceSum", ["features", "axes"], ["total"], keepdims=0)
    graph = helper.make_graph([node], "sum", [features], [total], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    version = folder / "risk" / "1"
    version.mkdir(parents=True)
    onnx.save(model, version / "model.onnx")
    (version / "model.yaml").write_text(f"service: {SERVICE}\nscores: {{risk: {{output: total}}}}\n")
    return version
