"""Encodes and decodes Feast's `ValueProto` of lists of scalars, without importing Feast or protobuf.

Wire facts: a list is a message of its own in the `oneof`, with one repeated field (numbers packed, as one run).
An empty list is an empty message, and so differs from null. A test compares both directions with Feast's own classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.store.varint import read_varint, signed, varint

_FIELDS = {
    DataType.STRING: 12,
    DataType.INT32: 13,
    DataType.INT64: 14,
    DataType.FLOAT64: 15,
    DataType.FLOAT32: 16,
    DataType.BOOL: 17,
    DataType.UNIX_TIMESTAMP: 18,
}
"""Type of the elements -> number of the list's field."""
_ELEMENTS = {field: element for element, field in _FIELDS.items()}
_FIXED: dict[DataType, np.dtype[Any]] = {DataType.FLOAT64: np.dtype("<f8"), DataType.FLOAT32: np.dtype("<f4")}
_LENGTH_DELIMITED = 2
_REPEATED = bytes([1 << 3 | _LENGTH_DELIMITED])


def encode_list(values: Sequence[Any], element: DataType) -> bytes:
    """Encodes a list as a ValueProto. It may be empty; its elements may not be null."""
    if element is DataType.STRING:
        content = b"".join(_REPEATED + _sized(text.encode()) for text in values)
    elif not values:
        content = b""
    elif element in _FIXED:
        with np.errstate(over="ignore"):  # a float32 beyond its range is infinite, as it is in a column
            content = _REPEATED + _sized(np.array(values, dtype=_FIXED[element]).tobytes())
    else:
        content = _REPEATED + _sized(b"".join([varint(int(value)) for value in values]))
    return varint(_FIELDS[element] << 3 | _LENGTH_DELIMITED) + _sized(content)


def _sized(content: bytes) -> bytes:
    return varint(len(content)) + content


def decode_list(data: bytes | None) -> list[Any] | None:
    """Decodes the list in a ValueProto; None for null, for an absent value, or for a type that is not a list.

    Raises:
        ValueError: the bytes are no ValueProto.
    """
    if not data:
        return None
    try:
        tag, at = read_varint(data, 0)
        element = _ELEMENTS.get(tag >> 3)
        return None if element is None else _elements(_content(data, at)[0], element)
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"not a Feast ValueProto: {data[:32]!r}") from error


def _elements(message: bytes, element: DataType) -> list[Any]:
    values: list[Any] = []
    at = 0
    while at < len(message):
        if message[at : at + 1] != _REPEATED:
            raise ValueError(f"not a list of a Feast ValueProto: {message[:32]!r}")
        content, at = _content(message, at + 1)
        if element is DataType.STRING:
            values.append(content.decode())
        elif element in _FIXED:
            values += np.frombuffer(content, _FIXED[element]).tolist()
        else:
            values += _whole_numbers(content, element)
    return values


def _whole_numbers(packed: bytes, element: DataType) -> list[int]:
    numbers = []
    at = 0
    while at < len(packed):
        number, at = read_varint(packed, at)
        numbers.append(bool(number) if element is DataType.BOOL else signed(number))
    return numbers


def _content(data: bytes, at: int) -> tuple[bytes, int]:
    """Returns the length-delimited bytes that start there, and where they end."""
    size, start = read_varint(data, at)
    if start + size > len(data):
        raise IndexError(start + size)
    return data[start : start + size], start + size
