"""Produces events at a steady rate, by a schedule made before: a late event does not delay the next ones."""

from __future__ import annotations

import time

from confluent_kafka import Producer

from benchmarks.shared.events import card_ids
from benchmarks.shared.plans import DUE_FIELD
from benchmarks.shared.schedule import Schedule, now_us
from forebay.pipelines.errors import ForebayError

_DELIVERY_TIMEOUT_S = 30.0


class PacedProducer:
    """Produces card payments that say when they were due."""

    def __init__(self, brokers: str, topic: str) -> None:
        self._brokers = brokers
        self._topic = topic
        # The client's own default linger, which counts as latency. With none, every event is a request of its own,
        # and on few cores the broker's work for them delays everything else more. `log_level`: see `produce_all`.
        self._producer = Producer(
            {"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 5, "log_level": 3}
        )

    def produce_one(self) -> None:
        """One event now; returns when the broker has it."""
        self._produce(0, now_us())
        self._flush()

    def produce(self, rate: int, count: int) -> int:
        """Event i at start + i/rate; returns the start, in `now_us`, when the broker has all of them.

        An event's latency counts from when it was due: had the producer been late, it would show.
        """
        cards = card_ids("zipf", count).tolist()
        schedule = Schedule(now_us(), rate, count)
        for due in schedule.due():
            for at in due:
                self._produce(cards[at], schedule.due_us(at))
        self._flush()
        return schedule.start_us

    def _produce(self, card: int, due_us: int) -> None:
        event_ms = time.time_ns() // 1_000_000
        value = b'{"card_id":%d,"event_ms":%d,"amount":12.34,"%s":%d}' % (card, event_ms, DUE_FIELD.encode(), due_us)
        self._producer.produce(self._topic, value, b"%d" % card, timestamp=event_ms)
        self._producer.poll(0)

    def _flush(self) -> None:
        if left := self._producer.flush(_DELIVERY_TIMEOUT_S):
            raise ForebayError(
                f"{left} events were not taken by the broker at {self._brokers} in {_DELIVERY_TIMEOUT_S:g} s"
            )
