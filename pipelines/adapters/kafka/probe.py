"""Asks with a new client whether there is something to read: the one in use may have stale metadata."""

from __future__ import annotations

import time

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from forebay.pipelines.adapters.kafka.connection import Brokers, client_config
from forebay.pipelines.process.silence import Positions

log = structlog.get_logger("forebay.kafka")

ASKED_S = 5.0
"""How long it tries to read a record."""


class RecordProbe:
    """Reads one committed record, if there is one. An end offset would not say it: it may be that of a marker."""

    def __init__(self, brokers: Brokers, group: str) -> None:
        """Args:
        group: whose committed offsets count where a client does not know its position.
        """
        self._config = client_config(
            brokers,
            {
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "log_level": 0,
            },
        )

    def __call__(self, positions: Positions) -> bool:
        """Tells whether a record can be read at one of the positions; False where brokers do not answer."""
        consumer = Consumer(self._config)
        try:
            # Assigned, not subscribed: the group does not notice.
            consumer.assign(self._starts(consumer, positions))
            deadline = time.monotonic() + ASKED_S
            while time.monotonic() < deadline:
                message = consumer.poll(0.2)
                if message is not None and message.error() is None:
                    return True
        except KafkaException as error:
            log.debug("not known whether there are records to read", error=str(error))
        finally:
            consumer.close()
        return False

    def _starts(self, consumer: Consumer, positions: Positions) -> list[TopicPartition]:
        unknown = [TopicPartition(topic, partition) for (topic, partition), at in positions.items() if at < 0]
        known = [TopicPartition(topic, partition, at) for (topic, partition), at in positions.items() if at >= 0]
        committed = consumer.committed(unknown, timeout=ASKED_S) if unknown else []
        for each in committed:
            each.offset = each.offset if each.offset >= 0 else OFFSET_BEGINNING
        return [*known, *committed]
