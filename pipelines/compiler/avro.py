"""Compiles an `AvroFormat`: its columns, and its schema reduced to what decides how bytes are read."""

from __future__ import annotations

import json
from typing import Any

from fastavro import parse_schema
from fastavro.schema import SchemaParseException, UnknownType

from forebay.pipelines.compiler.checks import unique
from forebay.pipelines.compiler.event_schema import NO_NAME, EventSchema, is_field_name
from forebay.pipelines.contract.plan.types import Column, DataType
from forebay.pipelines.errors import PlanError
from forebay.pipelines.steps.decode.avro_schema import (
    MICROS,
    MILLIS,
    branches,
    load_record,
    logical_type,
    plain,
    plain_record,
)

_TYPES = {
    "int": DataType.INT32,
    "long": DataType.INT64,
    "float": DataType.FLOAT32,
    "double": DataType.FLOAT64,
    "boolean": DataType.BOOL,
    "string": DataType.STRING,
}
_SUPPORTED = (
    f"use one of {', '.join(_TYPES)}, a long with logicalType {MILLIS} or {MICROS}, or a union of null and one of these"
)


def avro_schema(text: str, framed: bool, where: str) -> EventSchema:
    """Compiles an Avro schema into the columns of its events.

    `framed` is whether payloads name the schema they were written with; `where` is the object, for errors.

    Raises:
        PlanError: the schema can't be used, naming the field and what to change.
    """
    try:
        record = load_record(text)
        columns = tuple(_column(field, framed, where) for field in record["fields"])
        unique((column.name for column in columns), f"{where}: Avro field")
        meaning = _meaning(record)
        parse_schema(plain_record(meaning))
    except (ValueError, SchemaParseException, UnknownType, RecursionError) as error:
        raise PlanError(
            f"{where}: its Avro schema can't be used: {' '.join(str(error).split())}; give AvroFormat the JSON of "
            f"one record schema"
        ) from error
    encoded = json.dumps(meaning, sort_keys=True, separators=(",", ":")).encode()
    return EventSchema("avro", columns, encoded)


def _column(field: dict[str, Any], framed: bool, where: str) -> Column:
    name = field["name"]
    if not is_field_name(name):
        raise PlanError(f"{where}: Avro field {name!r} {NO_NAME}; rename it, with the old name as alias")
    options = branches(field["type"])
    values = [branch for branch in options if plain(branch) != "null"]
    base = plain(values[0]) if len(values) == 1 else None
    dtype = _TYPES.get(base) if isinstance(base, str) else None
    logical = logical_type(field["type"])
    if logical in (MILLIS, MICROS) and dtype is DataType.INT64:
        dtype = DataType.UNIX_TIMESTAMP
    elif logical is not None:
        dtype = None
    if dtype is None:
        # Who reads without a frame reads with the source's schema alone, and can't skip what it does not name.
        leave_out = "; or leave the field out, then it is skipped" if framed else ""
        raise PlanError(
            f"{where}: Avro field {name!r} has type {json.dumps(field['type'])}, which is not supported; "
            f"{_SUPPORTED}{leave_out}"
        )
    return Column(name, dtype, required=len(values) == len(options))


def _meaning(record: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema without documentation and properties of code generators."""
    kept = {key: record[key] for key in ("name", "namespace", "aliases") if record.get(key)}
    return {"type": "record", **kept, "fields": [_field_meaning(field) for field in record["fields"]]}


def _field_meaning(field: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {key: field[key] for key in ("name", "aliases", "default") if key in field}
    if isinstance(field["type"], list) and "null" in field["type"]:
        kept.setdefault("default", None)  # a nullable field that the writer does not have is null
    return {**kept, "type": _type_meaning(field["type"])}


def _type_meaning(field_type: Any) -> Any:
    if isinstance(field_type, list):
        return [_type_meaning(branch) for branch in field_type]
    logical = logical_type(field_type)
    return {"type": plain(field_type), "logicalType": logical} if logical else plain(field_type)
