"""Writes records in transactions: a batch is readable as a whole, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from forebay.pipelines.adapters.kafka.access import STARTING_S, Access, denied, said, write_to
from forebay.pipelines.adapters.kafka.connection import Brokers
from forebay.pipelines.adapters.kafka.producer import MAX_RECORD_BYTES, queue
from forebay.pipelines.contract.kafka.record import Headers
from forebay.pipelines.errors import ForebayError, SettingsError

ANSWER_S = 5.0
"""How long one call waits before it is made again."""

GIVE_UP_S = 60.0
"""How long the brokers may stay away."""

TRANSACTION_S = 60.0
"""Longest transaction; the brokers abort it then."""


class ReplayEnded(ForebayError):
    """A replay can't go on. What it sent is marked, so the next replay continues after it."""


class Outgoing(NamedTuple):
    """A record to write."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    """-1: now."""


class Outbox:
    """Writes in transactions. A new outbox with the same name ends a transaction that the one before left open."""

    def __init__(self, brokers: Brokers, name: str) -> None:
        """Raises `SettingsError`: the brokers do not answer, or allow no transactions."""
        self._brokers = brokers
        self._refused: list[tuple[KafkaError, str]] = []
        self._access = Access(brokers)
        self._producer = Producer(
            self._access.config(
                {
                    "transactional.id": name,
                    "transaction.timeout.ms": int(TRANSACTION_S * 1_000),
                    "message.max.bytes": MAX_RECORD_BYTES,
                    "compression.type": "lz4",
                    "log_level": 0,
                }
            )
        )
        try:
            self._until_answered(self._producer.init_transactions)
        except KafkaException as error:
            may = f"write as transactional id {name!r}"
            raise SettingsError(f"{brokers} can't begin a transaction: {said(error.args[0], may)}") from error

    def send(self, records: Sequence[Outgoing]) -> None:
        """Writes the records, all of them or none.

        Raises:
            ReplayEnded: none was written, or it is not known: the marks say which.
        """
        try:
            self._producer.begin_transaction()
            for each in records:
                more: dict[str, Any] = {"timestamp": each.timestamp_ms} if each.timestamp_ms >= 0 else {}
                placed = {"partition": each.partition, "headers": each.headers}
                queue(self._producer, self._delivered, each.topic, each.value, each.key, **placed, **more)
            self._until_answered(self._producer.commit_transaction)
        except KafkaException as error:
            raise ReplayEnded(self._explained(error.args[0], records)) from error

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._refused.append((error, str(message.topic())))

    def _until_answered(self, call: Callable[[float], None]) -> None:
        give_up_s = time.monotonic() + GIVE_UP_S
        while True:
            try:
                return call(ANSWER_S)
            except KafkaException as error:
                self._access.check(STARTING_S, self._producer)
                if not error.args[0].retriable() or time.monotonic() > give_up_s:
                    raise

    def _explained(self, error: KafkaError, records: Sequence[Outgoing]) -> str:
        what = error.str()
        if error.code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
            return "another replay of these letters has begun: let one of them end first"
        if allow := denied(error, write_to(each.topic for each in records)):
            return f"{what}; {allow}, then replay again: what was sent is not sent again"
        for refused, topic in self._refused[:1]:
            what = f"{topic}: {refused.str()}"
            if refused.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                return f"{what}; raise max.message.bytes of {topic}, then replay again: what was sent is not sent again"
            if allow := denied(refused, f"write to topic {topic!r}"):
                return f"{what}; {allow}, then replay again: what was sent is not sent again"
        return f"{self._brokers}: {what}; replay again: what was sent is marked, and is not sent again"
