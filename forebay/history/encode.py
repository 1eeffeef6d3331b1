"""Encodes events in the format that their source declares: the inverse of the decoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import msgspec
from fastavro import schemaless_writer

from forebay.pipelines.adapters.schema_registry import SchemaRegistry
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.errors import SettingsError
from forebay.pipelines.steps.decode.avro_schema import load_record, units_of_times, written
from forebay.pipelines.steps.decode.framing import frame, message_index
from forebay.pipelines.steps.decode.protobuf import message_class, message_path

Encode = Callable[[Mapping[str, Any]], bytes]
"""A payload from an event's columns: plain values, None for null, times in ms since the epoch."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ANY_ID = 0
"""Of a Protobuf schema: nobody asks for it."""


def encoder(source: Source, registry: str) -> Encode:
    """Returns the function that encodes events of a source.

    Args:
        registry: http(s)://[user:password@]host[:port] of the schema registry, asked where Avro is framed; empty: none.

    Raises:
        SettingsError: the registry is not named, or has no schema for the topic that can be used.
        SchemasUnavailable: it does not answer.
    """
    if source.format == "avro":
        return _avro(source, registry)
    return _protobuf(source) if source.format == "protobuf" else _json(source)


def _json(source: Source) -> Encode:
    if source.unit_of_timestamps == "ms":
        return msgspec.json.encode
    times = [column.name for column in source.columns if column.dtype is DataType.UNIX_TIMESTAMP]

    def encode(event: Mapping[str, Any]) -> bytes:
        # As text, which has no unit: a whole number of seconds would lose the milliseconds.
        texts = {name: _EPOCH + timedelta(milliseconds=event[name]) for name in times if event[name] is not None}
        return msgspec.json.encode({**event, **texts})

    return encode


def _avro(source: Source, registry: str) -> Encode:
    framed = source.framing == "confluent"
    if framed and not registry:
        raise SettingsError(
            f"topic {source.topic!r}: its events name their Avro schema by an id: give the address of the schema "
            f"registry with --schema-registry or FOREBAY_SCHEMA_REGISTRY"
        )
    declared = load_record(source.schema)
    schema_id, text = SchemaRegistry(registry).latest(f"{source.topic}-value") if framed else (_ANY_ID, source.schema)
    try:
        how = written(load_record(text), declared, units_of_times(source))
    except Exception as error:
        # Whatever the library says of a schema that somebody registered.
        raise SettingsError(
            f"topic {source.topic!r}: its newest schema in the registry is unusable: {error}; register another"
        ) from error

    def encode(event: Mapping[str, Any]) -> bytes:
        rescaled = {each.name: each.write(event[each.name]) for each in how.rescaled if event[each.name] is not None}
        stream = BytesIO()
        try:
            schemaless_writer(stream, how.schema, {**event, **rescaled})
        except (ValueError, TypeError, OverflowError) as error:
            raise SettingsError(
                f"topic {source.topic!r}: an event is none of its Avro schema: {error}; correct it where it comes from"
            ) from error
        return frame(schema_id, stream.getvalue()) if framed else stream.getvalue()

    return encode


def _protobuf(source: Source) -> Encode:
    made = message_class(source)
    index = message_index(message_path(made.DESCRIPTOR))

    def encode(event: Mapping[str, Any]) -> bytes:
        message = made()
        for column in source.columns:
            value = event[column.name]
            if value is None:
                continue
            try:
                if column.dtype is DataType.UNIX_TIMESTAMP:
                    getattr(message, column.name).FromMilliseconds(value)
                else:
                    setattr(message, column.name, value)
            except (ValueError, TypeError, OverflowError) as error:
                raise SettingsError(
                    f"topic {source.topic!r}: field {column.name!r} of an event does not fit its Protobuf schema: "
                    f"{error}; correct it where it comes from"
                ) from error
        body = message.SerializeToString()
        return frame(_ANY_ID, index + body) if source.framing == "confluent" else body

    return encode
