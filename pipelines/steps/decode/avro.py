"""Avro records to events: read as they were written, resolved to the source's schema."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from math import isfinite
from typing import Any, Protocol, cast

import msgspec
from fastavro import schemaless_reader

from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.errors import DecodeError, SettingsError
from forebay.pipelines.steps.decode.avro_schema import Written, load_record, units_of_times, written
from forebay.pipelines.steps.decode.event_type import Decoded, Payload, event_type, float_or_null, one_by_one
from forebay.pipelines.steps.decode.framing import unframe

_LONGEST_REASON = 200
"""Characters; the library's messages repeat whole schemas."""

Record = dict[str, Any]


class SchemaSource(Protocol):
    """Where the schemas are that framed payloads name."""

    def schema(self, schema_id: int) -> str:
        """Returns the Avro schema of this id, as JSON.

        Raises:
            SchemasUnavailable: it can't be known now; the same batch can be tried again.
            DecodeError: there is no such schema, or none that can be used.
        """
        ...


class AvroDecoder:
    """Decodes the records of one source. Not thread-safe."""

    def __init__(self, source: Source, schemas: SchemaSource | None = None) -> None:
        """Args:
            schemas: asked for the writer's schema, where payloads are framed.

        Raises:
            SettingsError: payloads are framed, but no schema registry is given.
        """
        if source.framing == "confluent" and schemas is None:
            raise SettingsError(
                f"topic {source.topic!r}: its events name their Avro schema by an id: give the address of the "
                f"schema registry with FOREBAY_SCHEMA_REGISTRY"
            )
        self._topic = source.topic
        self._schemas = schemas if source.framing == "confluent" else None
        self._declared = load_record(source.schema)
        self._times = units_of_times(source)
        self._own = written(self._declared, self._declared, self._times)
        self._known: dict[int, Written | str] = {}
        """By schema id: how its records are read, or why none can be."""
        self._floats = [
            (column.name, f"{source.topic}: $.{column.name}")
            for column in source.columns
            if column.dtype in (DataType.FLOAT32, DataType.FLOAT64)
        ]
        self._event = event_type("Event", source.columns)
        self._events = list[self._event | None]  # type: ignore[name-defined]

    def __call__(self, payloads: Sequence[Payload]) -> Decoded:
        """Decodes a batch; a bad payload costs only itself.

        Raises:
            SchemasUnavailable: the same batch can be tried again.
        """
        records, errors = one_by_one(self._record, payloads)
        try:
            return Decoded(msgspec.convert(records, self._events), errors)
        except msgspec.ValidationError:
            events, refused = one_by_one(lambda record: None if record is None else self._convert(record), records)
            return Decoded(events, errors | refused)

    def decode_one(self, payload: Payload) -> Any:
        """Decodes one event.

        Raises:
            DecodeError: saying what is wrong and, of a value, where (`$.field`).
            SchemasUnavailable: it can't be decoded now.
        """
        return self._convert(self._record(payload))

    def _convert(self, record: Record) -> Any:
        try:
            return msgspec.convert(record, self._event)
        except msgspec.ValidationError as error:
            raise DecodeError(f"{self._topic}: {error}; correct the producer") from error

    def _record(self, payload: Payload) -> Record:
        how, body = self._taken_apart(payload)
        stream = BytesIO(body)
        try:
            record: Any = schemaless_reader(stream, how.schema, how.reader)
        except Exception as error:
            # The parser is given bytes from outside: whatever it raises is this payload's error.
            raise DecodeError(
                f"{self._topic}: no Avro record of the source's schema: {_short(error)}; "
                f"produce with that schema, or one that resolves to it"
            ) from error
        if stream.tell() != len(body):
            raise DecodeError(
                f"{self._topic}: {len(body) - stream.tell()} bytes follow the Avro record; it was written with "
                f"another schema, or the source's tag 'framing' is wrong"
            )
        for time in how.rescaled:
            value = record.get(time.name)
            if value is not None:
                record[time.name] = time.read(value)
        for name, place in self._floats:
            value = record.get(name)
            if value is not None and not isfinite(value):
                record[name] = float_or_null(value, place)
        return cast(Record, record)

    def _taken_apart(self, payload: Payload) -> tuple[Written, bytes]:
        if self._schemas is None:
            if payload is None:
                raise DecodeError(f"{self._topic}: the record has no value; an event is an Avro record")
            return self._own, payload
        schema_id, body = unframe(payload, self._topic)
        known = self._known.get(schema_id)
        if known is None:
            known = self._known[schema_id] = self._learn(schema_id, self._schemas)
        if isinstance(known, str):
            raise DecodeError(known)
        return known, body

    def _learn(self, schema_id: int, schemas: SchemaSource) -> Written | str:
        """Finds how to read records of a schema; the error, where no record of it can be read."""
        try:
            text = schemas.schema(schema_id)
        except DecodeError as error:
            raise DecodeError(f"{self._topic}: {error}") from error
        try:
            return written(load_record(text), self._declared, self._times)
        except Exception as error:
            return f"{self._topic}: schema {schema_id} can't be used: {_short(error)}; produce with another"


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + " ..."
