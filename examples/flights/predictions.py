"""Listens to the prediction topic, and notes when each prediction could be read."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import NamedTuple, Self

import msgspec
from confluent_kafka import Consumer, TopicPartition

from forebay.pipelines.contract.kafka.prediction import Prediction

_POLL_S = 0.1


class Received(NamedTuple):
    """A prediction as a consumer got it."""

    prediction: Prediction
    latency_ms: float
    """From the event's record, by Kafka's timestamp, to the prediction in the consumer's hands."""


class PredictionListener:
    """Reads all partitions from their beginning, committed predictions only, on a thread of its own."""

    def __init__(self, brokers: str, topic: str, partitions: int) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "flights.demo",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="predictions", daemon=True)
        self.received: list[Received] = []
        """Grows while it listens."""

    def _listen(self) -> None:
        decode = msgspec.json.Decoder(Prediction).decode
        while not self._stop.is_set():
            message = self._consumer.poll(_POLL_S)
            if message is None or message.error():
                continue
            now_ms = time.time() * 1e3
            prediction = decode(message.value())
            self.received.append(Received(prediction, now_ms - prediction.source_timestamp_ms))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()
