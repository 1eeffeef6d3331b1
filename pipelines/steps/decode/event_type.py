"""What every decoder makes of payloads, whatever their format: events of one type, or errors by index."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar

import msgspec

from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.errors import DecodeError

Payload = bytes | None
Given = TypeVar("Given")

_RESERVED = re.compile("(field)*__")

_TYPES: dict[DataType, Any] = {
    DataType.STRING: str,
    DataType.INT32: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)],
    DataType.INT64: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    DataType.FLOAT32: float,
    DataType.FLOAT64: float,
    DataType.BOOL: bool,
    DataType.UNIX_TIMESTAMP: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | datetime,
}


def event_type(name: str, columns: Sequence[Column]) -> type[msgspec.Struct]:
    """Makes a struct with one optional field per column; `validate` judges which are required."""
    fields = [(attribute(column.name), _TYPES[column.dtype] | None, None) for column in columns]
    names = {attribute(column.name): column.name for column in columns}
    return msgspec.defstruct(name, fields, frozen=True, gc=False, rename=names)


def attribute(column: str) -> str:
    """Names the attribute of events that holds a column.

    Its name but for two leading underscores, which Python and msgspec have uses of their own for. What already looks
    like the replacement is replaced too, so that no two columns share an attribute.
    """
    return f"field{column}" if _RESERVED.match(column) else column


class Decoded(NamedTuple):
    """The events of a batch and, by index, the errors of the payloads that can't be decoded."""

    events: list[Any]
    """One per payload; None where the payload could not be decoded."""
    errors: dict[int, DecodeError]


class Decoder(Protocol):
    """Decodes the payloads of one source."""

    def __call__(self, payloads: Sequence[Payload]) -> Decoded:
        """Decodes a batch; a bad payload costs only itself."""
        ...

    def decode_one(self, payload: Payload) -> Any:
        """Decodes one event. Raises `DecodeError`, saying what is wrong and where."""
        ...


def one_by_one(decode_one: Callable[[Given], Any], payloads: Sequence[Given]) -> Decoded:
    """Decodes a batch one payload at a time, where they can't be decoded together."""
    events: list[Any] = []
    errors: dict[int, DecodeError] = {}
    for index, payload in enumerate(payloads):
        try:
            events.append(decode_one(payload))
        except DecodeError as error:
            events.append(None)
            errors[index] = error
    return Decoded(events, errors)


def float_or_null(value: float | None, place: str) -> float | None:
    """Returns the number, or None for NaN: every later column reads NaN as null.

    Raises:
        DecodeError: the value is infinite; one such value would make every sum it enters infinite.
    """
    if value is None or math.isfinite(value):
        return value
    if math.isnan(value):
        return None
    raise DecodeError(f"{place}: {value} is no number that can be aggregated; send null")
