"""Avro schemas as far as events need them: the fields of one record, and what their types mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from fastavro import parse_schema

from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import DataType, TimeUnit
from forebay.pipelines.steps.event_time import PER_SECOND

_PRIMITIVE = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})

MICROS, MILLIS = "timestamp-micros", "timestamp-millis"
_UNITS: dict[str, TimeUnit] = {MILLIS: "ms", MICROS: "us"}


def load_record(text: str | bytes) -> dict[str, Any]:
    """Parses an Avro schema in JSON, which must describe a record with fields.

    Raises:
        ValueError: it is not JSON, or does not.
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
        raise ValueError(f"{json.dumps(named)[:80]} ... has a name, namespace or alias that is not a text")


def branches(field_type: Any) -> list[Any]:
    """Lists the types that a value may have: those of a union, or the one."""
    return field_type if isinstance(field_type, list) else [field_type]


def plain(field_type: Any) -> Any:
    """Strips a type of what only annotates it (logical types, properties of code generators).

    Values are then read as they stand in the payload, and two plain types that are equal read alike.
    """
    if isinstance(field_type, list):
        return [plain(branch) for branch in field_type]
    inner = field_type.get("type") if isinstance(field_type, dict) else None
    return inner if isinstance(inner, str) and inner in _PRIMITIVE else field_type


def logical_type(field_type: Any) -> str | None:
    """Finds the logical type of a field, or of the branch of its union that has one."""
    for branch in branches(field_type):
        if isinstance(branch, dict) and "logicalType" in branch:
            return str(branch["logicalType"])
    return None


def plain_record(record: dict[str, Any]) -> dict[str, Any]:
    """Strips all types of a record's fields."""
    return record | {"fields": [field | {"type": plain(field["type"])} for field in record["fields"]]}


class Rescaled(NamedTuple):
    """A time that was written in another unit than it is read in."""

    name: str
    per_second: int
    """Of the unit it is read in."""
    written_per_second: int

    def read(self, value: int) -> int:
        """Converts a written time to the unit it is read in, rounded down."""
        return value * self.per_second // self.written_per_second

    def write(self, value: int) -> int:
        """Converts a time to the unit it is written in."""
        return value * self.written_per_second // self.per_second


class Written(NamedTuple):
    """How records of one writer's schema are read."""

    schema: Any
    """As fastavro parsed it, without logical types: times come as the numbers they are."""
    reader: Any
    """The source's schema; None where reading as written gives the same columns, in half the time."""
    rescaled: tuple[Rescaled, ...]


def written(writer: dict[str, Any], declared: dict[str, Any], times: Mapping[str, TimeUnit]) -> Written:
    """Finds how to read a writer's records by the source's schema.

    Args:
        times: the source's columns that are times, with the unit they are read in.

    Raises:
        ValueError: a time is in a unit that is not known here.
        fastavro.schema.SchemaParseException, fastavro.schema.UnknownType: it is no Avro schema.
    """
    schema, reader = parse_schema(plain_record(writer)), parse_schema(plain_record(declared))
    units = {
        name: (unit, _time_unit(field, writer["fields"]) or unit)
        for field in declared["fields"]
        if (unit := times.get(name := field["name"])) is not None
    }
    rescaled = tuple(
        Rescaled(name, PER_SECOND[unit], PER_SECOND[wrote]) for name, (unit, wrote) in units.items() if unit != wrote
    )
    return Written(schema, None if _gives_every_column(schema, reader) else reader, rescaled)


def _time_unit(field: dict[str, Any], wrote: list[dict[str, Any]]) -> TimeUnit | None:
    """Finds the unit of a time: the writer's where its schema says one, else the source's; None where neither schema
    does.
    """
    by_name = {each["name"]: each for each in wrote}
    names = [field["name"], *field.get("aliases", ())]
    written_as = next((by_name[name] for name in names if name in by_name), field)
    logical = logical_type(written_as["type"]) or logical_type(field["type"])
    if logical is not None and logical not in _UNITS:
        raise ValueError(f"its field {written_as['name']!r} is {logical}, neither {MILLIS} nor {MICROS}")
    return None if logical is None else _UNITS[logical]


def units_of_times(source: Source) -> dict[str, TimeUnit]:
    """Finds the columns that are times, with the unit in which events hold them: typed ones in milliseconds."""
    typed = {column.name: column.dtype is DataType.UNIX_TIMESTAMP for column in source.columns}
    times: dict[str, TimeUnit] = {name: "ms" for name, is_time in typed.items() if is_time}
    return {source.timestamp_field: source.time_unit} | times


def _gives_every_column(writer: Any, reader: Any) -> bool:
    """Tells whether a record read as written has every field of the reader's schema, in its type.

    One that is missing may be one that is null by default: the event says null of what a record lacks.
    """
    types = {field["name"]: field["type"] for field in writer["fields"]}
    return bool(writer["name"] == reader["name"]) and all(
        types[field["name"]] == field["type"]
        if field["name"] in types
        else "aliases" not in field and field.get("default", "none") is None
        for field in reader["fields"]
    )
