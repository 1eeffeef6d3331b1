"""Models whose outputs can be checked by hand, and a small image classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_models(folder: Path) -> list[Path]:
    """Those of Triton's example flows, an identity of every type, and the classifier; each in version 1."""
    return [
        _write(folder / "simple", _sum_and_difference()),
        *(_write(folder / f"identity_{name}", _identity(dtype)) for name, dtype in TYPES.items()),
        _write(folder / "classifier", classifier()),
    ]


TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


def _write(folder: Path, model: Any) -> Path:
    (folder / "1").mkdir(parents=True)
    onnx.save(model, folder / "1" / "model.onnx")
    return folder


def _model(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: Sequence[Any] = ()) -> Any:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _sum_and_difference() -> Any:
    ports = [helper.make_tensor_value_info(name, TensorProto.INT32, [None, 16]) for name in ("INPUT0", "INPUT1")]
    outputs = [helper.make_tensor_value_info(name, TensorProto.INT32, [None, 16]) for name in ("OUTPUT0", "OUTPUT1")]
    nodes = [
        helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
        helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"]),
    ]
    return _model(nodes, ports, outputs)


def _identity(dtype: int) -> Any:
    ports = [helper.make_tensor_value_info(name, dtype, [None, None]) for name in ("INPUT0", "OUTPUT0")]
    return _model([helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])], ports[:1], ports[1:])


CLASSES = 10


def classifier() -> Any:
    """A CNN of three convolutions with fixed random weights: images of 3 x 224 x 224 to probabilities of classes."""
    random = np.random.default_rng(7)
    weights, nodes, channels, last = [], [], 3, "image"
    for at, wide in enumerate((16, 32, 64)):
        kernel = random.normal(scale=(2 / (channels * 9)) ** 0.5, size=(wide, channels, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"kernel{at}"))
        conv = helper.make_node("Conv", [last, f"kernel{at}"], [f"c{at}"], pads=[1, 1, 1, 1], strides=[2, 2])
        nodes += [conv, helper.make_node("Relu", [f"c{at}"], [f"r{at}"])]
        channels, last = wide, f"r{at}"
    head = random.normal(size=(channels, CLASSES)).astype(np.float32)
    weights.append(numpy_helper.from_array(head, "head"))
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, 3, 224, 224])
    out = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, CLASSES])
    return _model(nodes, [image], [out], weights)


def photo() -> Any:
    """An image of 1 x 3 x 224 x 224: a bright disc on a gradient."""
    y, x = np.mgrid[0:224, 0:224] / 224
    disc = ((x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.05).astype(np.float64)
    return np.stack([x, y, disc])[None].astype(np.float32)
