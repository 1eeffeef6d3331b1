"""Converts Spark DDL of a `JsonFormat`, Feast types and durations to the types of the plan."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from feast import types as feast_types
from feast.types import from_value_type
from feast.value_type import ValueType

from forebay.pipelines.compiler.event_schema import NO_NAME, is_field_name
from forebay.pipelines.contract.plan.durations import UNIT_MS
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.errors import PlanError

_DDL_TYPES = {
    "string": DataType.STRING,
    "int": DataType.INT32,
    "integer": DataType.INT32,
    "bigint": DataType.INT64,
    "long": DataType.INT64,
    "float": DataType.FLOAT32,
    "double": DataType.FLOAT64,
    "boolean": DataType.BOOL,
    "timestamp": DataType.UNIX_TIMESTAMP,
}

_FEAST_TYPES = {
    feast_types.String: DataType.STRING,
    feast_types.Int32: DataType.INT32,
    feast_types.Int64: DataType.INT64,
    feast_types.Float32: DataType.FLOAT32,
    feast_types.Float64: DataType.FLOAT64,
    feast_types.Bool: DataType.BOOL,
    feast_types.UnixTimestamp: DataType.UNIX_TIMESTAMP,
}

_COLUMN = re.compile(r"`?(?P<name>\w+)`?(?:\s*:\s*|\s+)(?P<type>.+?)(?P<required>\s+not\s+null)?", re.IGNORECASE)
_ANY_NAME = re.compile(r"`?([^`\s:]+)`?(?:\s*:\s*|\s+)\S")
_TOP_LEVEL_COMMA = re.compile(r",(?![^<(]*[>)])")
_DURATION = re.compile(r"\s*(\d+)\s*(ms|s|m|h|d)\s*")


def columns_of(ddl: str, where: str) -> tuple[Column, ...]:
    """Parses the columns of a Spark DDL string, `name type [not null], ...`, in its order.

    `where` is the object the schema belongs to, for errors.

    Raises:
        PlanError: the string is no such list, or a type is not supported.
    """
    if not ddl.strip():
        raise PlanError(f"{where}: its schema is empty; list the event's columns as `name type, ...`")
    columns = [_column(text.strip(), where) for text in _TOP_LEVEL_COMMA.split(ddl)]
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise PlanError(f"{where}: its schema has column {name!r} twice; keep one")
    return tuple(columns)


def _column(text: str, where: str) -> Column:
    match = _COLUMN.fullmatch(text)
    if match is None:
        named = _ANY_NAME.match(text)
        if named is not None and not is_field_name(named[1]):
            raise PlanError(f"{where}: column {named[1]!r} {NO_NAME}; send that field under another name")
        raise PlanError(f"{where}: {text!r} in its schema is no column; write `name type [not null]`")
    name, declared = match["name"], match["type"].lower()
    if not is_field_name(name):
        raise PlanError(f"{where}: column {name!r} {NO_NAME}; send that field under another name")
    if declared not in _DDL_TYPES:
        raise PlanError(
            f"{where}: column {name!r} has type {match['type']!r}, which is not supported; "
            f"use one of {', '.join(_DDL_TYPES)}"
        )
    return Column(name, _DDL_TYPES[declared], match["required"] is not None)


def dtype_of(feast_type: Any, where: str) -> DataType:
    """Returns the plan's type for a Feast type.

    Raises:
        PlanError: it is not one of the scalar types.
    """
    dtype = _FEAST_TYPES.get(feast_type)
    if dtype is None:
        names = ", ".join(str(supported) for supported in _FEAST_TYPES)
        raise PlanError(f"{where} has type {feast_type}, which is not supported; use one of {names}")
    return dtype


def feature_dtype_of(feast_type: Any, where: str) -> DataType:
    """Returns the plan's type for a feature's Feast type: a scalar, or `Array` of one.

    Raises:
        PlanError: it is neither.
    """
    if not isinstance(feast_type, feast_types.Array):
        return dtype_of(feast_type, where)
    return DataType(f"array({dtype_of(feast_type.base_type, f'{where}: a list')})")


def dtype_of_value_type(value_type: ValueType, where: str) -> DataType | None:
    """Returns the plan's type for an entity's value type; None if the entity has none (UNKNOWN)."""
    return None if value_type is ValueType.UNKNOWN else dtype_of(from_value_type(value_type), where)


def duration_ms(text: str, where: str) -> int:
    """Parses a duration such as `500ms`, `90s`, `30m`, `2h` or `1d` to milliseconds.

    Raises:
        PlanError: the text is no such duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise PlanError(f"{where}: {text!r} is no duration; write a whole number and one of ms, s, m, h, d")
    return int(match[1]) * UNIT_MS[match[2]]


def timedelta_ms(duration: timedelta, where: str) -> int:
    """Converts a duration to milliseconds.

    Raises:
        PlanError: it is negative, or finer than a millisecond.
    """
    whole, rest = divmod(duration, timedelta(milliseconds=1))
    if rest or whole < 0:
        raise PlanError(f"{where} is {duration}; use a duration of whole milliseconds that is not negative")
    return whole
