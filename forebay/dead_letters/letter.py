"""Reads a dead letter or a late event from its record."""

from __future__ import annotations

from typing import NamedTuple

from confluent_kafka import Message

from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.recipients import ONLY_FOR_HEADER, Recipients, decode_recipients
from forebay.pipelines.contract.kafka.record import (
    REFUSAL_HEADERS,
    REFUSED_BY_HEADER,
    REPLAY_OF_HEADER,
    SOURCE_HEADER,
    SOURCE_KEY_HEADER,
    TIMESTAMP_HEADER,
    Headers,
    Record,
    source_position,
)
from forebay.pipelines.errors import DecodeError

ADDED_ON_THE_WAY = REFUSAL_HEADERS | {SOURCE_HEADER, SOURCE_KEY_HEADER, ONLY_FOR_HEADER, REPLAY_OF_HEADER}
"""What Forebay wrote into the headers between the source topic and this one."""


class Letter(NamedTuple):
    """One record of `<topic>.dlq` or `<topic>.late`."""

    at: Position
    """Where it is."""
    key: bytes | None
    value: bytes | None
    headers: Headers
    """All of them, in order."""
    written_ms: int
    """When it was written, ms since the epoch."""

    @classmethod
    def of(cls, message: Message) -> Letter:
        """Builds the letter from a message of the consumer."""
        at = Position(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
        return cls(at, message.key(), message.value(), list(message.headers() or ()), message.timestamp()[1])

    def text(self, name: str) -> str:
        """Returns a header as text, empty if there is none; of several with this name the last one is Forebay's."""
        return (dict(self.headers).get(name) or b"").decode(errors="replace")

    @property
    def reason(self) -> str:
        """Returns the reason for the refusal, one word."""
        return self.text("forebay-reason")

    @property
    def refused_at(self) -> Position | None:
        """Returns the position of the refused record on the topic that it was read from."""
        return Position.parse(self.text("forebay-position"))

    @property
    def timestamp_ms(self) -> int:
        """Returns the record's own timestamp in ms, or the letter's where that is not known."""
        text = self.text(TIMESTAMP_HEADER)
        return int(text) if text.isdigit() else self.written_ms

    @property
    def refused_by(self) -> Recipients | None:
        """Returns the readers that lack the record; None if the letter does not name them."""
        try:
            return decode_recipients(dict(self.headers).get(REFUSED_BY_HEADER))
        except DecodeError:
            return None

    def source(self, topic: str) -> Position | None:
        """Returns the record's position on its source topic; None if the letter does not name it.

        Args:
            topic: the source topic. A letter of a topic that it is routed into carries the source position.
        """
        refused_at = self.refused_at
        if refused_at is None or refused_at.topic == topic:
            return refused_at
        try:
            found = source_position(Record(0, self.key, self.value, self.headers, 0))
        except DecodeError:
            return None
        return Position(topic, found.partition, found.offset)

    def source_key(self) -> bytes | None:
        """Returns the record's key on its source topic."""
        headers = dict(self.headers)
        return headers.get(SOURCE_KEY_HEADER) if SOURCE_HEADER in headers else self.key

    def own_headers(self) -> Headers:
        """Returns the headers that the producer gave the record."""
        return [(name, value) for name, value in self.headers if name not in ADDED_ON_THE_WAY]
