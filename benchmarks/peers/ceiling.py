"""No system at all: what the broker, librdkafka and the JSON decoder allow one Python process."""

from __future__ import annotations

from pathlib import Path

import msgspec
from confluent_kafka import Consumer

from benchmarks.peers.settings import peer_settings
from benchmarks.shared.shared_count import SharedCount

BATCH_RECORDS = 10_000


class Payment(msgspec.Struct, gc=False):
    """The event."""

    card_id: int
    event_ms: int
    amount: float


def main() -> None:
    """Consumes and decodes until it is killed."""
    settings = peer_settings()
    count = SharedCount(Path(settings.count_file))
    decoder = msgspec.json.Decoder(Payment)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.brokers,
            "group.id": settings.group,
            "auto.offset.reset": "earliest",
            # As much as fits ahead of the reader, so that fetching is never what it waits for.
            "queued.min.messages": 1_000_000,
            "queued.max.messages.kbytes": 1_048_576,
        }
    )
    consumer.subscribe([settings.topic])
    while True:
        messages = consumer.consume(BATCH_RECORDS, 0.1)
        values = [message.value() for message in messages if message.error() is None]
        count.add(len(decoder.decode_lines(b"\n".join(values))))


if __name__ == "__main__":
    main()
