"""The events every system reads: JSON card payments of some 150 bytes, keyed by their card."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from confluent_kafka import Producer
from numpy.typing import NDArray

from forebay.pipelines.errors import ForebayError

PARTITIONS = 4
CARDS = 100_000
ZIPF_EXPONENT = 1.1
SPAN_MS = 2 * 3_600_000
"""Event time from the first event to the last: every card's window closes once."""
_SEED = 7
_REPORTED_EVENTS = 10_000
_DELIVERY_TIMEOUT_S = 60.0

_PAYMENT = (
    b'{"payment_id":"p%012d","card_id":%d,"event_ms":%d,"amount":%d.%02d,'
    b'"currency":"EUR","merchant_id":"m%06d","terminal_id":"t%05d"}'
)

Distribution = Literal["zipf", "unique"]


def card_ids(distribution: Distribution, count: int, cards: int = CARDS) -> NDArray[np.int64]:
    """Cards of the events in order, shape (n,); the same ones every time.

    Zipf: card k pays in proportion to (k+1)^-1.1. Unique: no card pays twice.
    """
    random = np.random.default_rng(_SEED)
    if distribution == "unique":
        return random.permutation(count)
    weights = np.arange(1, cards + 1) ** -ZIPF_EXPONENT
    return np.searchsorted(np.cumsum(weights) / weights.sum(), random.random(count)).clip(max=cards - 1)


def payment(at: int, card: int, event_ms: int, cents: int) -> bytes:
    """Event number `at`, as JSON."""
    return _PAYMENT % (at, card, event_ms, cents // 100, cents % 100, at % 5_000, at % 997)


def produce_all(
    brokers: str, topic: str, distribution: Distribution, count: int, produced: Callable[[int], None]
) -> None:
    """Writes all events of a workload, in the order of their time; see `produce_events`."""
    times = np.linspace(-SPAN_MS, -1, count).astype(np.int64) + last_full_hour_ms()
    produce_events(brokers, topic, Events(card_ids(distribution, count), times), produced)


class Events(NamedTuple):
    """What is written to a topic, in order."""

    cards: NDArray[np.int64]
    """Shape (n,)."""
    event_ms: NDArray[np.int64]
    """Shape (n,); ms since the epoch."""


def last_full_hour_ms() -> int:
    """When a workload's event time ends: the broker's retention counts from it, and it lies in no one's future."""
    return int(time.time() * 1_000) // 3_600_000 * 3_600_000


def produce_events(brokers: str, topic: str, events: Events, produced: Callable[[int], None]) -> None:
    """Writes events; returns when the broker has them. The record's time is the event's, for systems that go by it.

    Args:
        produced: told the number of events so far, now and then.

    Raises:
        ForebayError: the broker did not take all of them in time.
    """
    count = len(events.cards)
    cents = np.random.default_rng(_SEED + 1).integers(100, 100_000, count).tolist()
    # Without warnings: a broker that has just been started first makes the topic of producers' states.
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 20, "log_level": 3})
    for at, (card, event_ms, amount) in enumerate(
        zip(events.cards.tolist(), events.event_ms.tolist(), cents, strict=True)
    ):
        _send(producer, topic, b"%d" % card, payment(at, card, event_ms, amount), event_ms)
        if at % _REPORTED_EVENTS == 0:
            producer.poll(0)
            produced(at)
    if left := producer.flush(_DELIVERY_TIMEOUT_S):
        raise ForebayError(f"{left} events were not taken by the broker at {brokers} in {_DELIVERY_TIMEOUT_S:g} s")
    produced(count)


def _send(producer: Producer, topic: str, key: bytes, value: bytes, event_ms: int) -> None:
    deadline = time.monotonic() + _DELIVERY_TIMEOUT_S
    while True:
        try:
            producer.produce(topic, value, key, timestamp=event_ms)
        except BufferError:
            if time.monotonic() > deadline:
                raise ForebayError(f"the broker takes no events of topic {topic!r}") from None
            producer.poll(0.05)
        else:
            return
