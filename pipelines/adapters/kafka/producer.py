"""Produces records through librdkafka: in order, each once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from forebay.pipelines.adapters.kafka.access import RUNNING_S, Access, denied, write_to
from forebay.pipelines.adapters.kafka.connection import Brokers
from forebay.pipelines.errors import ForebayError, RestartNeeded
from forebay.pipelines.process.watchdog import step

AWAY = (
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.BROKER_NOT_AVAILABLE,
)
"""Codes that say the brokers can't be reached now, and nothing about the question."""


MAX_RECORD_BYTES = 100_000_000
"""Of Forebay's producers, and of topics that records of other topics are copied to: what a broker lets in may be as
large as its topic says, and must be able to leave again, with headers added."""

FETCH_WAIT_MS = 50
"""How long a broker may hold the answer to a fetch while it has nothing new. Apache Kafka answers as soon as there
is data; Tansu may wait it out."""

_TOO_LARGE = "Message size too large"

OnDelivery = Callable[[KafkaError | None, Message], None]


def queue(producer: Producer, on_delivery: OnDelivery, *record: Any, **more: Any) -> None:
    """Queues a record, waiting while the producer's local queue is full.

    Args:
        on_delivery: told what became of it.
        record: as `Producer.produce` takes it, like `more`.

    Raises:
        KafkaException: the producer does not take it.
    """
    while True:
        try:
            producer.produce(*record, on_delivery=on_delivery, **more)
        except BufferError:
            step("waiting for room in the producer's queue")
            producer.poll(0.1)
        else:
            return


class DeliveryFailed(RestartNeeded):
    """A record was not acknowledged; what was built on it must not be committed."""


class WriteDenied(DeliveryFailed):
    """An ACL is missing."""

    status = ForebayError.status


class RecordTooLarge(DeliveryFailed):
    """The topic takes no record of this size."""

    status = ForebayError.status


def delivery_failed(error: KafkaError, *topics: str) -> DeliveryFailed:
    """Makes the error for a record that was not delivered: by its cause, it asks for a repair or for a restart.

    Args:
        topics: the record's, or those that it can have been for.
    """
    what = f"a record was not delivered: {error.str()}"
    again = "its batch is not committed, and is sent again after a restart"
    # The error that ends a gapless producer has the reason in its text only.
    if _TOO_LARGE in error.str():
        return RecordTooLarge(
            f"{what}; raise max.message.bytes of that topic above its source's, then start again: {again}"
        )
    if allow := denied(error, write_to(topics)):
        return WriteDenied(f"{what}; {allow}, then start again: {again}")
    return DeliveryFailed(f"{what}; {again}")


class IdempotentProducer:
    """Produces records in order, each once; `flush` tells whether all were acknowledged."""

    def __init__(self, brokers: Brokers) -> None:
        self._access = Access(brokers)
        self._producer = Producer(
            self._access.config(
                {
                    "enable.idempotence": True,
                    # After a record that fails, none may follow: readers of a routed topic take a record that comes
                    # again after later ones for a duplicate.
                    "enable.gapless.guarantee": True,
                    "log_level": 3,  # it warns that this is experimental, at every start
                    "linger.ms": 2,
                    # However long the brokers are away: giving a record up would end the process.
                    "message.timeout.ms": 0,
                    "compression.type": "lz4",
                    "message.max.bytes": MAX_RECORD_BYTES,
                }
            )
        )
        self._failure: KafkaError | None = None
        self._failed_topic = ""
        self._queued: set[str] = set()
        """Topics of records that were not acknowledged yet."""

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int = -1,
        timestamp_ms: int = -1,
    ) -> None:
        """Queues a record, waiting while the local queue is full.

        Args:
            partition: -1: the one that its key is hashed to.
            timestamp_ms: -1: now.

        Raises:
            DeliveryFailed: the record, or one before it, can't be delivered.
        """
        more: dict[str, Any] = {"partition": partition, "headers": list(headers)}
        if timestamp_ms >= 0:
            more["timestamp"] = timestamp_ms
        self._queued.add(topic)
        try:
            queue(self._producer, self._delivered, topic, value, key, **more)
        except KafkaException as error:
            raise self._ended(error.args[0]) from error

    def flush(self) -> None:
        """Waits for every queued record, as long as the brokers may still come back.

        Raises:
            DeliveryFailed: one of them was not acknowledged; this producer must not be used again.
            SettingsError: the brokers do not let it in any more.
        """
        try:
            step("waiting for records to be acknowledged")
            while self._producer.flush(1.0) and self._failure is None:
                self._access.check(RUNNING_S)
                step("waiting for records to be acknowledged")
        except KafkaException as error:
            raise self._ended(error.args[0]) from error
        if self._failure is not None:
            raise delivery_failed(self._failure, self._failed_topic)
        self._access.granted()
        self._queued.clear()

    def _ended(self, error: KafkaError) -> DeliveryFailed:
        """Makes the error for what ended the producer: which record it was for may not have been told yet."""
        topics = [self._failed_topic] if self._failure else self._queued
        return delivery_failed(self._failure or error, *topics)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        # The first failure is the reason: what was queued after it fails as a consequence.
        if error is not None and self._failure is None:
            self._failure, self._failed_topic = error, str(message.topic())
