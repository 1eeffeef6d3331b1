"""Avro schemas as far as events need them: the fields of one record, and what their types mean."""

from __future__ import annotations

import json
from collections.abc import Container
from typing import Any, NamedTuple

from fastavro import parse_schema

_PRIMITIVE = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})

MICROS, MILLIS = "timestamp-micros", "timestamp-millis"


def load_record(text: str | bytes) -> dict[str, Any]:
    """The record that a schema describes.

    Raises:
        ValueError: it is no JSON, or describes no record with fields.
    """
    try:
        schema = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise ValueError("it is no record")
    fields = schema.get("fields")
    if not isinstance(fields, list) or not fields:
        raise ValueError("it has no fields")
    _check_names(schema)
    for field in fields:
        if not isinstance(field, dict) or "type" not in field:
            raise ValueError(f"{json.dumps(field)} is no field; a field has a name and a type")
        _check_names(field)
    return schema


def _check_names(named: dict[str, Any]) -> None:
    aliases = named.get("aliases", [])
    names = [named.get("name"), *aliases] if isinstance(aliases, list) else [None]
    if not all(isinstance(name, str) for name in names) or not isinstance(named.get("namespace", ""), str):
        raise ValueError(f"{json.dumps(named)[:80]} ... has a name, namespace or aliases that are none")


def branches(field_type: Any) -> list[Any]:
    """The types that a value may have: those of a union, else the one."""
    return field_type if isinstance(field_type, list) else [field_type]


def plain(field_type: Any) -> Any:
    """The type without what only annotates it (logical types, properties of code generators).

    Values are then read as they stand in the payload, and two plain types that are equal read alike.
    """
    if isinstance(field_type, list):
        return [plain(branch) for branch in field_type]
    inner = field_type.get("type") if isinstance(field_type, dict) else None
    return inner if isinstance(inner, str) and inner in _PRIMITIVE else field_type


def logical_type(field_type: Any) -> str | None:
    """The logical type of a field, or of the branch of its union that has one."""
    for branch in branches(field_type):
        if isinstance(branch, dict) and "logicalType" in branch:
            return str(branch["logicalType"])
    return None


def plain_record(record: dict[str, Any]) -> dict[str, Any]:
    """The record with all its fields' types plain."""
    return record | {"fields": [field | {"type": plain(field["type"])} for field in record["fields"]]}


class Written(NamedTuple):
    """How records of one writer's schema are read."""

    schema: Any
    """As fastavro parsed it, without logical types: times come as the numbers they are."""
    reader: Any
    """The source's schema; None where reading as written gives the same columns, in half the time."""
    micros: tuple[str, ...]
    """Columns that hold microseconds."""


def written(writer: dict[str, Any], declared: dict[str, Any], times: Container[str]) -> Written:
    """How to read a writer's records by the source's schema.

    Args:
        times: the source's columns that are times.

    Raises:
        ValueError: a time is in a unit that is not known here.
        fastavro.schema.SchemaParseException, fastavro.schema.UnknownType: it is no Avro schema.
    """
    schema, reader = parse_schema(plain_record(writer)), parse_schema(plain_record(declared))
    micros = tuple(
        field["name"]
        for field in declared["fields"]
        if field["name"] in times and _time_unit(field, writer["fields"]) == MICROS
    )
    return Written(schema, None if _gives_every_column(schema, reader) else reader, micros)


def _time_unit(field: dict[str, Any], wrote: list[dict[str, Any]]) -> str:
    """The unit of a time: the writer's where it says one, else the source's, else milliseconds."""
    by_name = {each["name"]: each for each in wrote}
    names = [field["name"], *field.get("aliases", ())]
    written_as = next((by_name[name] for name in names if name in by_name), field)
    unit = logical_type(written_as["type"]) or logical_type(field["type"]) or MILLIS
    if unit not in (MILLIS, MICROS):
        raise ValueError(f"its field {written_as['name']!r} is {unit}, neither {MILLIS} nor {MICROS}")
    return unit


def _gives_every_column(writer: Any, reader: Any) -> bool:
    """Whether a record read as written has every field of the reader's schema, in its type.

    One that is missing may be one that is null by default: the event says null of what a record lacks.
    """
    types = {field["name"]: field["type"] for field in writer["fields"]}
    return bool(writer["name"] == reader["name"]) and all(
        types[field["name"]] == field["type"]
        if field["name"] in types
        else "aliases" not in field and field.get("default", "none") is None
        for field in reader["fields"]
    )
