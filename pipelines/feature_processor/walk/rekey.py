"""Re-key: a source topic's records, re-keyed for entities that its own key scatters over partitions.

Idempotent without transactions: every routed record carries its source position, records of one
source partition are produced in order, and the reader drops positions it has already seen. It carries the
incarnation of the routed topic too: what was routed before one of the topics was made anew, or given more partitions,
is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from forebay.pipelines.adapters import metrics
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.record import Record, SourcePosition, routed_headers
from forebay.pipelines.contract.kafka.rekeying import routed_partition, routing_key
from forebay.pipelines.contract.kafka.topics import Route
from forebay.pipelines.contract.store.keys import route_field
from forebay.pipelines.steps.events import EventBatch


class Producer(Protocol):
    """What routing, late events and dead letters need of a producer."""

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int = -1,
        timestamp_ms: int = -1,
    ) -> None:
        """Queues a record.

        Args:
            partition: -1: as its key says.
            timestamp_ms: -1: now.
        """
        ...

    def flush(self) -> None:
        """Returns when every queued record was acknowledged; raises if one was not."""
        ...


class Rekeyer:
    """Re-keys the records of one source topic for the topics it is routed into."""

    def __init__(self, routes: Sequence[Route], incarnations: Mapping[str, Incarnation], producer: Producer) -> None:
        """Args:
        incarnations: by routed topic, its present incarnation.
        """
        self._routes = routes
        self.incarnations = incarnations
        self._producer = producer

    def rekey(self, batch: EventBatch, records: Sequence[Record], partition: int, routed: Mapping[bytes, int]) -> None:
        """Queues every event of the batch once per route; events without the entity are not routed.

        Args:
            routed: by `route_field`, the offset up to which that was done before.
        """
        offsets = np.array([record.offset for record in records], dtype=np.int64)
        for route in self._routes:
            new = batch.select(offsets[batch.index] > routed[route_field(route)])
            columns = [new.values(key.name) for key in route.join_keys]
            incarnation = self.incarnations[route.topic]
            count = 0
            for at, values in zip(new.index.tolist(), zip(*columns, strict=True), strict=True):
                if None in values:
                    continue
                record = records[at]
                key = routing_key(values)
                self._producer.produce(
                    route.topic,
                    record.value,
                    key,
                    routed_headers(record, SourcePosition(partition, record.offset, incarnation.digest)),
                    routed_partition(key, incarnation.partitions),
                    record.timestamp_ms,
                )
                count += 1
            metrics.ROUTED.labels(route.topic).inc(count)
