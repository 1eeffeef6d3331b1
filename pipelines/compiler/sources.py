"""Compiles Kafka sources. Several Feast sources may describe one topic, if they agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from feast import KafkaSource
from feast.data_format import AvroFormat, JsonFormat, ProtoFormat

from forebay.pipelines.compiler.avro import avro_schema
from forebay.pipelines.compiler.event_schema import EventSchema, known, refuse_ignored
from forebay.pipelines.compiler.protobuf import protobuf_schema
from forebay.pipelines.compiler.schema import columns_of, duration_ms, timedelta_ms
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column, DataType, EventId, TimeUnit
from forebay.pipelines.contract.plan.views import HOUR_MS
from forebay.pipelines.errors import PlanError

_TIME_TYPES = (DataType.INT64, DataType.UNIX_TIMESTAMP)
_ID_TYPES = (DataType.STRING, DataType.INT32, DataType.INT64)
_DECLARE_TIME = {
    "json": "declare it bigint (since the epoch, tag 'time_unit') or timestamp (RFC 3339)",
    "avro": "declare it long, with tag 'time_unit' or with logicalType timestamp-millis or timestamp-micros",
    "protobuf": "make it an int64 (since the epoch, tag 'time_unit') or a google.protobuf.Timestamp",
}


def compile_sources(sources: Iterable[KafkaSource], repo: Path) -> dict[str, Source]:
    """Compiles all sources; returns them by their Feast name.

    Feast ties one batch source to a Kafka source, so views that share a topic often declare one source
    each. They become one: the first by name. Classes of Protobuf messages are looked for in `repo` first.

    Raises:
        PlanError: a source can't be read, or two sources contradict each other about their topic.
    """
    by_topic: dict[str, Source] = {}
    by_name: dict[str, Source] = {}
    for declared in sorted(sources, key=lambda each: each.name):
        source = compile_source(declared, repo)
        known = by_topic.setdefault(source.topic, source)
        if msgspec.structs.replace(source, name=known.name) != known:
            raise PlanError(
                f"Kafka sources {known.name!r} and {source.name!r} describe topic {source.topic!r} "
                f"differently; give them the same brokers, schema, timestamp field and tags"
            )
        by_name[declared.name] = known
    return by_name


def compile_source(declared: KafkaSource, repo: Path) -> Source:
    """Compiles the source of one topic.

    Raises:
        PlanError: naming the source and what to change.
    """
    where = f"Kafka source {declared.name!r}"
    options = declared.kafka_options
    if not options.topic:
        raise PlanError(f"{where} has no topic; set topic=")
    if declared.field_mapping:
        raise PlanError(f"{where} has a field_mapping, which is not supported; rename in the view's function")
    framing = _framing(declared, where)
    events = _event_schema(options.message_format, framing, repo, where)
    lateness_ms = _allowed_lateness_ms(declared, where)
    return Source(
        name=declared.name,
        topic=options.topic,
        brokers=options.kafka_bootstrap_servers,
        format=events.format,
        columns=_with_required_time(events, declared.timestamp_field, where),
        timestamp_field=declared.timestamp_field,
        key=_key(declared.tags.get("key", ""), events, where),
        allowed_lateness_ms=lateness_ms,
        allowed_ahead_ms=_allowed_ahead_ms(declared, where),
        framing=framing,
        schema=events.schema,
        message=events.message,
        ignored=dict(events.ignored),
        event_id=_event_id(declared.tags, events, lateness_ms or HOUR_MS, where),
        time_unit=_time_unit(declared, events, where),
        old_times=_old_times(declared.tags.get("old_times", "refuse"), where),
    )


def _framing(declared: KafkaSource, where: str) -> Literal["none", "confluent"]:
    tag = declared.tags.get("framing", "none")
    if tag not in ("none", "confluent"):
        raise PlanError(f"{where}: tag 'framing' is {tag!r}; write 'confluent', or leave it out")
    if tag == "none":
        return "none"
    if isinstance(declared.kafka_options.message_format, JsonFormat):
        raise PlanError(f"{where}: tag 'framing' is for Avro and Protobuf; leave it out and send plain JSON")
    return "confluent"


def _event_schema(message_format: object, framing: str, repo: Path, where: str) -> EventSchema:
    match message_format:
        case JsonFormat():
            return EventSchema("json", columns_of(message_format.schema_json, where))
        case AvroFormat():
            return avro_schema(message_format.schema_json, framing == "confluent", where)
        case ProtoFormat():
            return protobuf_schema(message_format.class_path, repo, where)
    raise PlanError(f"{where} has {type(message_format).__name__}; use JsonFormat, AvroFormat or ProtoFormat")


def _with_required_time(events: EventSchema, name: str, where: str) -> tuple[Column, ...]:
    columns = events.columns
    time = next((column for column in columns if column.name == name), None)
    if time is None:
        refuse_ignored(events.ignored, name, f"{where}: its timestamp_field")
        raise PlanError(f"{where}: its timestamp_field {name!r} is no column of its schema; {known(columns)}")
    if time.dtype not in _TIME_TYPES:
        raise PlanError(f"{where}: its timestamp_field {name!r} is {time.dtype}; {_DECLARE_TIME[events.format]}")
    required = msgspec.structs.replace(time, required=True)
    return tuple(required if column is time else column for column in columns)


def _key(tag: str, events: EventSchema, where: str) -> tuple[str, ...]:
    key = tuple(part.strip() for part in tag.split(",") if part.strip())
    names = {column.name for column in events.columns}
    for name in key:
        refuse_ignored(events.ignored, name, f"{where}: tag 'key'")
        if name not in names:
            raise PlanError(f"{where}: tag 'key' names {name!r}, no column of its schema; {known(events.columns)}")
    return key


def _event_id(tags: Mapping[str, str], events: EventSchema, default_ms: int, where: str) -> EventId | None:
    name, window = tags.get("event_id"), tags.get("event_id_window")
    if name is None:
        if window is not None:
            raise PlanError(f"{where}: tag 'event_id_window' needs the tag 'event_id', the column with the events' ids")
        return None
    refuse_ignored(events.ignored, name, f"{where}: tag 'event_id'")
    column = next((column for column in events.columns if column.name == name), None)
    if column is None:
        raise PlanError(f"{where}: tag 'event_id' names {name!r}, no column of its schema; {known(events.columns)}")
    if column.dtype not in _ID_TYPES:
        raise PlanError(f"{where}: tag 'event_id' names {name!r}, which is {column.dtype}; use a text or whole number")
    window_ms = default_ms if window is None else duration_ms(window, f"{where}: tag 'event_id_window'")
    if not window_ms:
        raise PlanError(
            f"{where}: tag 'event_id_window' is {window!r}, which is no time to remember an id; lengthen it"
        )
    return EventId(name, window_ms)


def _time_unit(declared: KafkaSource, events: EventSchema, where: str) -> TimeUnit:
    """Returns the unit of times that are whole numbers, and refuses the tag where the time field's type has a unit."""
    tag = declared.tags.get("time_unit")
    time = next(column for column in events.columns if column.name == declared.timestamp_field)
    if tag is not None and events.format != "json" and time.dtype is DataType.UNIX_TIMESTAMP:
        raise PlanError(
            f"{where}: tag 'time_unit' has no effect: the type of its timestamp_field {time.name!r} says the unit; "
            f"leave the tag out"
        )
    match tag:
        case None:
            return "ms"
        case "s" | "ms" | "us" | "ns":
            return tag
    raise PlanError(f"{where}: tag 'time_unit' is {tag!r}; write 's', 'ms', 'us' or 'ns'")


def _old_times(tag: str, where: str) -> bool:
    if tag not in ("refuse", "allow"):
        raise PlanError(f"{where}: tag 'old_times' is {tag!r}; write 'allow', or leave it out")
    return tag == "allow"


def _allowed_ahead_ms(declared: KafkaSource, where: str) -> int:
    tag = declared.tags.get("allowed_ahead")
    return HOUR_MS if tag is None else duration_ms(tag, f"{where}: tag 'allowed_ahead'")


def _allowed_lateness_ms(declared: KafkaSource, where: str) -> int | None:
    tag = declared.tags.get("allowed_lateness")
    if tag is not None:
        return duration_ms(tag, f"{where}: tag 'allowed_lateness'")
    threshold = declared.kafka_options.watermark_delay_threshold
    return None if threshold is None else timedelta_ms(threshold, f"{where}: watermark_delay_threshold")
