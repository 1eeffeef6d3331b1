"""The plain loop: `python -m benchmarks.scoring.plain SETTINGS`. What anyone writes without Forebay.

Consume, read stored values with HMGET, run the model, produce in a transaction with the offsets. The values are
whatever the card's hash holds: nobody computes windows, no event is waited for, and no bad record is survived.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.scoring.plain_settings import PlainSettings
from benchmarks.shared.plans import DUE_FIELD

BATCH_RECORDS = 500


class Event(msgspec.Struct, gc=False):
    """A card's payment."""

    card_id: int
    due_us: int = msgspec.field(name=DUE_FIELD, default=0)


def main(settings: PlainSettings) -> None:
    """Scores until it is killed."""
    host, _, port = settings.redis.partition(":")
    store: Any = redis.Redis(host, int(port))
    session = onnxruntime.InferenceSession(settings.model)
    decoder, encoder = msgspec.json.Decoder(Event), msgspec.json.Encoder()
    consumer = Consumer(
        {
            "bootstrap.servers": settings.brokers,
            "group.id": settings.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    producer = Producer({"bootstrap.servers": settings.brokers, "transactional.id": settings.group, "linger.ms": 0})
    producer.init_transactions()
    consumer.subscribe([settings.topic])
    while True:
        first = consumer.poll(0.25)
        if first is None:
            continue
        messages = [first, *consumer.consume(BATCH_RECORDS - 1, 0)]
        messages = [each for each in messages if each.error() is None]
        events = [decoder.decode(each.value()) for each in messages]
        pipeline = store.pipeline(transaction=False)
        for event in events:
            pipeline.hmget(f"plain:{event.card_id}", settings.features)
        values = [[float(value or 0) for value in row] for row in pipeline.execute()]
        (scores,) = session.run(None, {"features": np.array(values, dtype=np.float32)})
        producer.begin_transaction()
        offsets = {}
        for message, event, score in zip(messages, events, scores.tolist(), strict=True):
            source = f"{message.partition()}@{message.offset()}"
            prediction = {
                "id": source,
                "request": {DUE_FIELD: event.due_us},
                "barrier_met": False,
                "scores": {"risk": score},
            }
            producer.produce(settings.output, encoder.encode(prediction), message.key())
            offsets[message.partition()] = TopicPartition(settings.topic, message.partition(), message.offset() + 1)
        producer.send_offsets_to_transaction(list(offsets.values()), consumer.consumer_group_metadata())
        producer.commit_transaction()


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=PlainSettings))
