"""Translate gRPC messages."""

from __future__ import annotations

from typing import Any

import numpy as np

from forebay.serving.models.alone import Port
from forebay.serving.oip.errors import InvalidRequest
from forebay.serving.oip.inference import InferRequest, InferResponse, ServedModel
from forebay.serving.oip.messages import message
from forebay.serving.oip.tensors import Tensor, datatype_of, dtype_of, element_count, from_json, from_raw, to_raw

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Datatype -> where its elements stand; FP16 travels in raw bytes alone."""

_InferResponse = message("ModelInferResponse")
_ModelMetadata = message("ModelMetadataResponse")


def read_request(request: Any) -> InferRequest:
    """Returns the request in a `ModelInferRequest`.

    Raises:
        InvalidRequest: naming the tensor.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequest(
            f"raw_input_contents holds {len(raw)} tensors for {len(request.inputs)} inputs: send all so, or none"
        )
    tensors = [
        _raw(each, raw[at]) if raw else _from_contents(each, each.contents) for at, each in enumerate(request.inputs)
    ]
    names = [each.name for each in request.outputs]
    return InferRequest(request.model_name, request.model_version, tensors, names)


def _raw(tensor: Any, data: bytes) -> Tensor:
    if tensor.HasField("contents"):
        raise InvalidRequest(f"input {tensor.name!r} has contents beside raw_input_contents: send one of them")
    return from_raw(tensor.name, tensor.datatype, tensor.shape, data)


def _from_contents(tensor: Any, contents: Any) -> Tensor:
    dtype_of(tensor.datatype, tensor.name)
    field = _CONTENTS.get(tensor.datatype)
    filled = [each.name for each, _ in contents.ListFields()]
    if field is None or filled not in ([], [field]):
        wanted = field or "raw_input_contents"
        raise InvalidRequest(
            f"input {tensor.name!r} of datatype {tensor.datatype} is sent in {wanted}, got {', '.join(filled)}"
        )
    values = list(getattr(contents, field))
    if tensor.datatype != "BYTES":
        return from_json(tensor.name, tensor.datatype, tensor.shape, values)
    count = element_count(tensor.shape, tensor.name)
    if len(values) != count:
        raise InvalidRequest(
            f"tensor {tensor.name!r} of shape {list(tensor.shape)} takes {count} elements, got {len(values)}"
        )
    array = np.empty(count, dtype=object)
    array[:] = values
    return Tensor(tensor.name, array.reshape(tuple(tensor.shape)))


def write_response(response: InferResponse, request_id: str) -> Any:
    """Returns a `ModelInferResponse`; all outputs in raw bytes, the one form that all clients read."""
    answer = _InferResponse(model_name=response.model, model_version=response.version, id=request_id)
    for name, value in response.parameters.items():
        answer.parameters.add(key=name, value={"int64_param" if isinstance(value, int) else "string_param": value})
    for tensor in response.outputs:
        answer.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.array.shape)
        answer.raw_output_contents.append(to_raw(tensor.array))
    return answer


def describe(model: ServedModel) -> Any:
    """Returns a `ModelMetadataResponse`."""
    answer = _ModelMetadata(name=model.name, versions=[model.version], platform="onnx_onnxv1")
    _add(answer.inputs, model.inputs)
    _add(answer.outputs, model.outputs)
    return answer


def _add(tensors: Any, ports: Any) -> None:
    port: Port
    for port in ports.values():
        tensors.add(name=port.name, datatype=datatype_of(port.dtype), shape=port.shape)
