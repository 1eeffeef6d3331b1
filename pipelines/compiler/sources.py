"""Kafka sources: what a topic carries. Several Feast sources may describe one topic, if they agree."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from feast import KafkaSource
from feast.data_format import JsonFormat

from pipelines.compiler.schema import columns_of, duration_ms, timedelta_ms
from pipelines.contract.plan import Column, DataType, Source
from pipelines.errors import PlanError

_TIME_TYPES = (DataType.INT64, DataType.UNIX_TIMESTAMP)


def compile_sources(sources: Iterable[KafkaSource]) -> dict[str, Source]:
    """Sources by their Feast name.

    Feast ties one batch source to a Kafka source, so views that share a topic often declare one source
    each. They become one: the first by name.

    Raises:
        PlanError: a source can't be read, or two sources contradict each other about their topic.
    """
    by_topic: dict[str, Source] = {}
    by_name: dict[str, Source] = {}
    for declared in sorted(sources, key=lambda each: each.name):
        source = compile_source(declared)
        known = by_topic.setdefault(source.topic, source)
        if msgspec.structs.replace(source, name=known.name) != known:
            raise PlanError(
                f"Kafka sources {known.name!r} and {source.name!r} describe topic {source.topic!r} "
                f"differently; give them the same brokers, schema, timestamp field and tags"
            )
        by_name[declared.name] = known
    return by_name


def compile_source(declared: KafkaSource) -> Source:
    """The source of one topic.

    Raises:
        PlanError: naming the source and what to change.
    """
    where = f"Kafka source {declared.name!r}"
    options = declared.kafka_options
    if not options.topic:
        raise PlanError(f"{where} has no topic; set topic=")
    if declared.field_mapping:
        raise PlanError(f"{where} has a field_mapping, which is not supported; rename in the view's function")
    message_format = options.message_format
    if not isinstance(message_format, JsonFormat):
        kind = type(message_format).__name__
        raise PlanError(f"{where} has {kind}, which is not supported yet; use JsonFormat")
    columns = columns_of(message_format.schema_json, where)
    return Source(
        name=declared.name,
        topic=options.topic,
        brokers=options.kafka_bootstrap_servers,
        format="json",
        columns=_with_required_time(columns, declared.timestamp_field, where),
        timestamp_field=declared.timestamp_field,
        key=_key(declared.tags.get("key", ""), columns, where),
        allowed_lateness_ms=_allowed_lateness_ms(declared, where),
    )


def _with_required_time(columns: tuple[Column, ...], name: str, where: str) -> tuple[Column, ...]:
    time = next((column for column in columns if column.name == name), None)
    if time is None:
        raise PlanError(f"{where}: its timestamp_field {name!r} is no column of its schema; {known(columns)}")
    if time.dtype not in _TIME_TYPES:
        raise PlanError(
            f"{where}: its timestamp_field {name!r} is {time.dtype}; declare it bigint (milliseconds since "
            f"the epoch) or timestamp (RFC 3339)"
        )
    required = msgspec.structs.replace(time, required=True)
    return tuple(required if column is time else column for column in columns)


def _key(tag: str, columns: tuple[Column, ...], where: str) -> tuple[str, ...]:
    key = tuple(part.strip() for part in tag.split(",") if part.strip())
    names = {column.name for column in columns}
    for name in key:
        if name not in names:
            raise PlanError(f"{where}: tag 'key' names {name!r}, no column of its schema; {known(columns)}")
    return key


def _allowed_lateness_ms(declared: KafkaSource, where: str) -> int | None:
    tag = declared.tags.get("allowed_lateness")
    if tag is not None:
        return duration_ms(tag, f"{where}: tag 'allowed_lateness'")
    threshold = declared.kafka_options.watermark_delay_threshold
    return None if threshold is None else timedelta_ms(threshold, f"{where}: watermark_delay_threshold")


def known(columns: Iterable[Column]) -> str:
    """The columns there are, for an error."""
    return "it has " + ", ".join(column.name for column in columns)
