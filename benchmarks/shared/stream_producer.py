"""The process that produces a load: `python -m benchmarks.shared.stream_producer SETTINGS`."""

from __future__ import annotations

import gc

import numpy as np
from confluent_kafka import Producer

from benchmarks.shared.events import payment
from benchmarks.shared.schedule import now_us
from benchmarks.shared.stream_settings import StreamSettings, stream_settings
from forebay.pipelines.errors import ForebayError

TICK_US = 500
"""Between two looks at what is due: an event is late by half of it on average."""
_DELIVERY_TIMEOUT_S = 60.0


def new_producer(brokers: str, linger_ms: float) -> Producer:
    """Its client; `log_level`: see `produce_all`."""
    return Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": linger_ms, "log_level": 3})


def send(producer: Producer, topic: str, at: int, card: int, event_ms: int) -> None:
    """Hands over one event; its record is stamped with the clock, as producers of live events do."""
    producer.produce(topic, payment(at, card, event_ms, 100 + at % 99_900), b"%d" % card)


def produce(settings: StreamSettings) -> None:
    """Produces everything by the schedule, and writes when the probes were sent."""
    load, timeline = settings.load, settings.timeline
    cards = load.event_cards()
    every = load.probe_every
    sent_us = np.full(len(load.probe_events()), -1, dtype=np.int64)
    producer = new_producer(settings.brokers, load.linger_ms)
    gc.disable()  # the loop makes no cycles, and a pause would be measured as everybody else's
    for due in timeline.schedule(load).due(TICK_US):
        part = slice(due.start, due.stop)
        times = timeline.event_ms(load, np.arange(due.start, due.stop)).tolist()
        for at, card, event_ms in zip(due, cards[part].tolist(), times, strict=True):
            send(producer, settings.topic, at, card, event_ms)
            if at % every == 0:
                sent_us[at // every] = now_us()
        producer.poll(0)
    if left := producer.flush(_DELIVERY_TIMEOUT_S):
        raise ForebayError(f"{left} events were not taken by the broker at {settings.brokers}")
    np.save(settings.sent_file, sent_us)


if __name__ == "__main__":
    produce(stream_settings())
