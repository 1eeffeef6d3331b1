"""Encodes and decodes Feast's `ValueProto` and timestamps, without importing Feast or protobuf.

Wire facts (feast/types/Value.proto): one `oneof` field, so a set value is a tag and a payload, and
a null is the empty message. A test compares both directions with Feast's own classes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.store.list_values import encode_list
from forebay.pipelines.contract.store.varint import read_varint, signed, varint

_STRING, _INT32, _INT64, _DOUBLE, _FLOAT, _BOOL, _UNIX = 2, 3, 4, 5, 6, 7, 8
_VARINT_KIND = {DataType.INT32: 3, DataType.INT64: 4, DataType.BOOL: 7, DataType.UNIX_TIMESTAMP: 8}


def encode_value(value: Any, dtype: DataType) -> bytes:
    """Encodes one value as a ValueProto; None and NaN are the null value."""
    if value is not None and dtype.is_list:
        return encode_list(value, dtype.element)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return b""
    if dtype is DataType.FLOAT64:
        return b"\x29" + struct.pack("<d", value)
    if dtype is DataType.FLOAT32:
        return b"\x35" + struct.pack("<f", value)
    if dtype is DataType.STRING:
        text = str(value).encode()
        return b"\x12" + varint(len(text)) + text
    return bytes([_VARINT_KIND[dtype] << 3]) + varint(int(value))


WHOLE_LIMITS = {DataType.INT32: 2**31, DataType.INT64: 2**63, DataType.UNIX_TIMESTAMP: 2**63}
"""By type, the first whole number above its range; the least one is the same below 0."""


def whole_numbers(values: Sequence[float], dtype: DataType) -> list[Any]:
    """Converts values to whole numbers, or booleans, of the type; values out of its range are left out."""
    if dtype is DataType.BOOL:
        return [bool(value) for value in values]
    limit = WHOLE_LIMITS[dtype]
    return [int(value) for value in values if -limit <= value < limit]


def encode_columns(columns: Sequence[npt.NDArray[Any]], dtypes: Sequence[DataType]) -> list[list[bytes]]:
    """Encodes columns as ValueProtos: one list per column, with one entry per row.

    NaN is null, and so is what a whole number of the type can't say: infinity, or a sum beyond its range.

    Args:
        columns: each of shape (n,): float64, or objects if the type is no number, or if a whole number is beyond
            what a float64 can hold.
    """
    cells: list[list[bytes]] = [[]] * len(columns)
    for floating in _FLOATING:
        # Together: with few rows a call of numpy costs more than its work.
        alike = [at for at, dtype in enumerate(dtypes) if dtype is floating]
        if alike:
            encoded = _floats(np.array([columns[at] for at in alike]), floating)
            for at, column in zip(alike, encoded, strict=True):
                cells[at] = column
    for at, (values, dtype) in enumerate(zip(columns, dtypes, strict=True)):
        if dtype not in _FLOATING:
            cells[at] = _whole(values, dtype) if dtype.is_numeric else [encode_value(each, dtype) for each in values]
    return cells


_FLOATING = {
    DataType.FLOAT64: np.dtype([("tag", "u1"), ("value", "<f8")]),
    DataType.FLOAT32: np.dtype([("tag", "u1"), ("value", "<f4")]),
}
"""Type -> a ValueProto of it."""


def _floats(columns: npt.NDArray[np.float64], dtype: DataType) -> list[list[bytes]]:
    cell = _FLOATING[dtype]
    protos = np.empty(columns.shape, dtype=cell)
    protos["tag"] = encode_value(0.0, dtype)[0]
    with np.errstate(over="ignore"):  # a float32 beyond its range is infinite
        protos["value"] = columns
    cells: list[list[bytes]] = protos.view(f"V{cell.itemsize}").tolist()
    for column, row in np.argwhere(np.isnan(columns)).tolist():
        cells[column][row] = b""
    return cells


def _whole(values: npt.NDArray[Any], dtype: DataType) -> list[bytes]:
    if values.dtype == object:
        return [encode_value(value, dtype) for value in values]
    limit = WHOLE_LIMITS.get(dtype, np.inf)
    values = np.where((values >= -limit) & (values < limit), values, np.nan)
    known: dict[float, bytes] = {}
    out = []
    for value in values.tolist():
        encoded = known.get(value)
        if encoded is None:
            encoded = known[value] = encode_value(value, dtype)
        out.append(encoded)
    return out


def decode_value(data: bytes | None) -> float | int | bool | str | None:
    """Decodes the scalar in a ValueProto; None for null, for an absent value, or for a type that is not a scalar.

    Raises:
        ValueError: the bytes are no ValueProto.
    """
    if not data:
        return None
    try:
        return _decode_scalar(data)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"not a Feast ValueProto: {data[:32]!r}") from error


def _decode_scalar(data: bytes) -> float | int | bool | str | None:
    kind = data[0] >> 3
    if kind == _DOUBLE:
        return float(struct.unpack_from("<d", data, 1)[0])
    if kind == _FLOAT:
        return float(struct.unpack_from("<f", data, 1)[0])
    if kind == _STRING:
        size, at = read_varint(data, 1)
        return data[at : at + size].decode()
    if kind in (_INT32, _INT64, _UNIX):
        number, _ = read_varint(data, 1)
        return signed(number)
    if kind == _BOOL:
        return data[1] != 0
    return None


def encode_timestamp(event_ms: int) -> bytes:
    """Encodes an event time in milliseconds as a protobuf Timestamp."""
    seconds, ms = divmod(event_ms, 1_000)
    out = b"\x08" + varint(seconds) if seconds else b""
    return out + b"\x10" + varint(ms * 1_000_000) if ms else out


def decode_timestamp(data: bytes) -> int:
    """Decodes a protobuf Timestamp to milliseconds, rounded down."""
    return decode_timestamp_us(data) // 1_000


def decode_timestamp_us(data: bytes) -> int:
    """Decodes a protobuf Timestamp to microseconds, rounded down."""
    at = seconds = nanos = 0
    while at < len(data):
        field = data[at] >> 3
        number, at = read_varint(data, at + 1)
        if field == 1:
            seconds = signed(number)
        elif field == 2:
            nanos = number
    return seconds * 1_000_000 + nanos // 1_000
