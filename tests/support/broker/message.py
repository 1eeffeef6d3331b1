"""What a consumer of the fake broker hands out: a record, or an error."""

from __future__ import annotations

from typing import NamedTuple

from confluent_kafka import TIMESTAMP_CREATE_TIME, KafkaError


class FakeMessage(NamedTuple):
    """A record at its place, with the methods of confluent-kafka's `Message`."""

    topic_: str
    partition_: int
    offset_: int
    key_: bytes | None = None
    value_: bytes | None = None
    headers_: list[tuple[str, bytes | None]] | None = None
    timestamp_ms: int = 0
    error_: KafkaError | None = None

    def topic(self) -> str:
        return self.topic_

    def partition(self) -> int:
        return self.partition_

    def offset(self) -> int:
        return self.offset_

    def key(self) -> bytes | None:
        return self.key_

    def value(self) -> bytes | None:
        return self.value_

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self.headers_

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_CREATE_TIME, self.timestamp_ms

    def error(self) -> KafkaError | None:
        return self.error_
