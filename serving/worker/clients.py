"""What makes the worker's Kafka clients: confluent-kafka, or another broker in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from confluent_kafka import Consumer, Producer

from forebay.pipelines.adapters.kafka.admin import Topics
from forebay.pipelines.adapters.kafka.connection import Brokers


class Clients(NamedTuple):
    """One factory per client. A consumer and a producer are made from librdkafka's properties."""

    consumer: Callable[[dict[str, Any]], Consumer] = Consumer
    producer: Callable[[dict[str, Any]], Producer] = Producer
    topics: Callable[[Brokers], Topics] = Topics


KAFKA = Clients()
