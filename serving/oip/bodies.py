"""Translate REST bodies: JSON, and after it the raw bytes of tensors that are sent so."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec

from forebay.serving.models.alone import Port
from forebay.serving.oip.errors import InvalidRequest
from forebay.serving.oip.inference import InferRequest, InferResponse, ServedModel
from forebay.serving.oip.tensors import Tensor, datatype_of, from_json, from_raw, to_json, to_raw

_Parameters = dict[str, Any] | None
"""Clients write null for what they leave out."""


class _Input(msgspec.Struct, frozen=True):
    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: _Parameters = None


class _Output(msgspec.Struct, frozen=True):
    name: str
    parameters: _Parameters = None


class _Body(msgspec.Struct, frozen=True):
    inputs: list[_Input]
    id: str | None = None
    parameters: _Parameters = None
    outputs: list[_Output] | None = None


class Asked(NamedTuple):
    """A request, and how its answer is to be written."""

    request: InferRequest
    id: str | None
    """To be repeated."""
    binary: dict[str, bool]
    """Output -> whether it is to be raw bytes."""
    binary_default: bool
    """For outputs that were not listed."""


_decode = msgspec.json.Decoder(_Body).decode


def read_request(model: str, version: str, data: bytes, json_bytes: int | None) -> Asked:
    """Returns the request in a body.

    Args:
        json_bytes: length of its JSON, after which raw bytes stand; None: it is all JSON.

    Raises:
        InvalidRequest: naming the place.
    """
    size = len(data) if json_bytes is None else json_bytes
    if not 0 < size <= len(data):
        raise InvalidRequest(f"the JSON of the body can't have {size} bytes: the body has {len(data)}")
    body = _body(data[:size])
    rest = memoryview(data)[size:]
    tensors: list[Tensor] = []
    for each in body.inputs:
        length = (each.parameters or {}).get("binary_data_size")
        if length is None:
            tensors.append(from_json(each.name, each.datatype, each.shape, each.data))
            continue
        if not isinstance(length, int) or not 0 <= length <= len(rest) or each.data is not None:
            raise InvalidRequest(
                f"input {each.name!r}: binary_data_size is {length!r}, and {len(rest)} bytes are left in the body; "
                f"an input has either data or a size"
            )
        tensors.append(from_raw(each.name, each.datatype, each.shape, rest[:length]))
        rest = rest[length:]
    if rest:
        raise InvalidRequest(f"the body has {len(rest)} bytes that belong to no input: correct binary_data_size")
    default = (body.parameters or {}).get("binary_data_output") is True
    listed = body.outputs or []
    # An output that is listed is asked for in its own words: the default is for those that are not.
    binary = {each.name: (each.parameters or {}).get("binary_data") is True for each in listed}
    return Asked(InferRequest(model, version, tensors, [each.name for each in listed]), body.id, binary, default)


def _body(data: bytes) -> _Body:
    try:
        try:
            return _decode(data)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            # Triton's client writes NaN and Infinity as bare words, which JSON does not know and Python does.
            return msgspec.convert(json.loads(data), _Body)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is no inference request: {error}") from error


def write_response(response: InferResponse, asked: Asked) -> tuple[bytes, int | None]:
    """Returns the body, and the length of its JSON where raw bytes follow it."""
    outputs: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for tensor in response.outputs:
        output: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.array.shape),
        }
        if asked.binary.get(tensor.name, asked.binary_default):
            raw.append(to_raw(tensor.array))
            output["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            output["data"] = to_json(tensor)
        outputs.append(output)
    body: dict[str, Any] = {"model_name": response.model, "model_version": response.version, "outputs": outputs}
    if response.parameters:
        body["parameters"] = response.parameters
    if asked.id is not None:
        body["id"] = asked.id
    text = msgspec.json.encode(body)
    return (b"".join([text, *raw]), len(text)) if any(raw) else (text, None)


def describe(model: ServedModel) -> dict[str, Any]:
    """Returns the metadata of a model."""
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "onnx_onnxv1",
        "inputs": [_port(each) for each in model.inputs.values()],
        "outputs": [_port(each) for each in model.outputs.values()],
    }


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.name, "datatype": datatype_of(port.dtype), "shape": list(port.shape)}
