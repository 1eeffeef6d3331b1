"""Tensors, and their three forms on the wire: raw bytes, JSON and texts with their lengths."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from forebay.serving.models.alone import Array
from forebay.serving.oip.errors import InvalidRequest

DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(np.object_),
}
"""Datatype of the protocol -> numpy type, little-endian; BYTES are objects, each a `str` or, as it came, `bytes`."""

_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
_LENGTH = struct.Struct("<I")


class Tensor(NamedTuple):
    """A named array."""

    name: str
    array: Array

    @property
    def datatype(self) -> str:
        """In the protocol's words."""
        return datatype_of(self.array.dtype)


def datatype_of(dtype: np.dtype[Any]) -> str:
    """Finds the protocol's word for a numpy type."""
    return _NAMES[dtype]


def dtype_of(datatype: str, name: str) -> np.dtype[Any]:
    """Finds the numpy type of a datatype. Raises `InvalidRequest` for one that is not known."""
    try:
        return DATATYPES[datatype]
    except KeyError:
        known = ", ".join(DATATYPES)
        raise InvalidRequest(f"tensor {name!r} has the datatype {datatype!r}; known are {known}") from None


def element_count(shape: Sequence[int], name: str) -> int:
    """Counts the elements of a shape. Raises `InvalidRequest` if a dimension is negative."""
    if any(size < 0 for size in shape):
        raise InvalidRequest(f"tensor {name!r} has the shape {list(shape)}: dimensions of data are 0 or more")
    return prod(shape)


def from_raw(name: str, datatype: str, shape: Sequence[int], data: bytes | memoryview) -> Tensor:
    """Reads a tensor from raw bytes: little-endian, row-major; BYTES are each a length of 4 bytes, and as many bytes.

    Raises:
        InvalidRequest: they are too many or too few.
    """
    dtype = dtype_of(datatype, name)
    count = element_count(shape, name)
    if dtype.kind == "O":
        return Tensor(name, _texts(name, data, count).reshape(tuple(shape)))
    if len(data) != count * dtype.itemsize:
        raise InvalidRequest(
            f"tensor {name!r} of shape {list(shape)} and datatype {datatype} takes {count * dtype.itemsize} bytes, "
            f"got {len(data)}"
        )
    if dtype.kind == "b":
        return Tensor(name, np.frombuffer(data, np.uint8).astype(np.bool_).reshape(tuple(shape)))
    return Tensor(name, np.frombuffer(data, dtype).reshape(tuple(shape)))


def _texts(name: str, data: bytes | memoryview, count: int) -> Array:
    found = np.empty(count, dtype=object)
    at = 0
    for index in range(count):
        if at + _LENGTH.size > len(data):
            raise InvalidRequest(f"tensor {name!r} ends before element {index} of {count}")
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if at + size > len(data):
            raise InvalidRequest(f"tensor {name!r} ends within element {index} of {count}")
        found[index] = bytes(data[at : at + size])
        at += size
    if at != len(data):
        raise InvalidRequest(f"tensor {name!r} has {len(data) - at} bytes after its {count} elements")
    return found


def to_raw(array: Array) -> bytes:
    """Writes the raw bytes of a tensor."""
    if array.dtype.kind != "O":
        return np.ascontiguousarray(array).tobytes()
    parts = [_as_bytes(each) for each in array.ravel().tolist()]
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def from_json(name: str, datatype: str, shape: Sequence[int], data: Any) -> Tensor:
    """Reads a tensor from JSON, nested or flat, row-major; null stands for NaN.

    Raises:
        InvalidRequest: an element is not of the datatype, or they are too many or too few.
    """
    dtype = dtype_of(datatype, name)
    count = element_count(shape, name)
    flat = _flat(data) if isinstance(data, list) else [data]
    if len(flat) != count:
        raise InvalidRequest(f"tensor {name!r} of shape {list(shape)} takes {count} elements, got {len(flat)}")
    for at, value in enumerate(flat):
        if not _is_of(value, dtype):
            raise InvalidRequest(f"tensor {name!r}: element {at} is {value!r}, no {datatype}")
    if dtype.kind == "O":
        texts = np.empty(count, dtype=object)
        texts[:] = [_as_bytes(value) for value in flat]
        return Tensor(name, texts.reshape(tuple(shape)))
    try:
        return Tensor(name, np.array(flat, dtype=dtype).reshape(tuple(shape)))
    except OverflowError as error:
        raise InvalidRequest(f"tensor {name!r}: an element is out of the range of {datatype}") from error


def _flat(data: list[Any]) -> list[Any]:
    while any(isinstance(each, list) for each in data):
        data = [leaf for each in data for leaf in (each if isinstance(each, list) else [each])]
    return data


def _is_of(value: Any, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "O":
        return isinstance(value, str)
    if dtype.kind == "b":
        return isinstance(value, bool)
    if dtype.kind == "f":
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    return isinstance(value, int) and not isinstance(value, bool)


def to_json(tensor: Tensor) -> list[Any]:
    """Lists the elements, row-major and flat; NaN is null.

    Raises:
        InvalidRequest: an element has no form in JSON.
    """
    array = tensor.array.ravel()
    if array.dtype.kind == "O":
        return [_as_text(each, tensor.name) for each in array.tolist()]
    if array.dtype.kind != "f":
        return array.tolist()
    if np.isinf(array).any():
        raise InvalidRequest(
            f"output {tensor.name!r} holds infinity, for which JSON has no form: ask for it with binary_data"
        )
    return [None if value != value else value for value in array.tolist()]


def _as_bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _as_text(value: str | bytes, name: str) -> str:
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"output {name!r} holds bytes that are no text: ask for it with binary_data") from error
