"""Kafka sources: what the events of a topic look like."""

from __future__ import annotations

from typing import Literal

import msgspec

from forebay.pipelines.contract.plan.types import Column, EventId, TimeUnit
from forebay.pipelines.contract.plan.views import HOUR_MS, StreamView


class Source(msgspec.Struct, frozen=True):
    """A Kafka topic as declared by a Feast `KafkaSource`."""

    name: str
    topic: str
    brokers: str
    """`kafka_bootstrap_servers` of the source; settings may override it."""
    format: Literal["json", "avro", "protobuf"]
    columns: tuple[Column, ...]
    timestamp_field: str
    """Column with the event time: whole numbers of `time_unit`, or what the format has for times."""
    key: tuple[str, ...] = ()
    """Columns the topic is keyed by (tag `key`, comma separated); views of other entities are routed."""
    allowed_lateness_ms: int | None = None
    """Tag `allowed_lateness`, else the watermark delay; None: as long as the view's longest window."""
    framing: Literal["none", "confluent"] = "none"
    """Tag `framing`: whether a schema registry's serializer put a schema id before every event."""
    schema: bytes = b""
    """Avro: the record's schema, JSON without what has no meaning. Protobuf: a serialized FileDescriptorSet of
    the message's file and all it imports, each file after its imports. JSON: empty, the columns say it all."""
    message: str = ""
    """Full name of the Protobuf message."""
    ignored: dict[str, str] = {}
    """Fields of the Protobuf message that are no columns, and what they are."""
    allowed_ahead_ms: int = HOUR_MS
    """Tag `allowed_ahead`: how much later than its record an event may say it happened."""
    event_id: EventId | None = None
    """None: every record is an event of its own."""
    time_unit: TimeUnit = "ms"
    """Tag `time_unit`: what a whole number counts since the epoch, in the timestamp field and in JSON's timestamps."""
    old_times: bool = False
    """Tag `old_times`: whether event times before 1971 are meant, and no seconds that were read as milliseconds."""

    @property
    def unit_of_timestamps(self) -> TimeUnit:
        """The unit of whole numbers in columns of type `UNIX_TIMESTAMP`: only JSON leaves it open."""
        return self.time_unit if self.format == "json" else "ms"

    def allowed_lateness_of(self, view: StreamView) -> int:
        """Finds how far behind the watermark an event may come for this view, ms."""
        return view.longest_window_ms if self.allowed_lateness_ms is None else self.allowed_lateness_ms
