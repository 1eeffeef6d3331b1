"""A model whose scores can be checked by hand."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper


def write_sum_model(version: Path, width: int, service: str) -> None:
    """Writes models/<name>/<version>: a model that adds up its features, nulls being 0."""
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])
    total = helper.make_tensor_value_info("total", TensorProto.FLOAT, [None])
    constants = [
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
    ]
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["known"]),
        helper.make_node("ReduceSum", ["known", "axes"], ["total"], keepdims=0),
    ]
    graph = helper.make_graph(nodes, "sum", [features], [total], constants)
    version.mkdir(parents=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), version / "model.onnx"
    )
    (version / "model.yaml").write_text(f"service: {service}\nscores: {{total: {{output: total}}}}\n")
