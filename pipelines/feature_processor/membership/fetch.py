"""The thread that fetches and seeks, with the Kafka client on an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from forebay.pipelines.adapters.kafka.producer import FETCH_WAIT_MS
from forebay.pipelines.feature_processor.membership.batch_fetch import BatchFetch
from forebay.pipelines.feature_processor.membership.fetch_gate import InFlight
from forebay.pipelines.feature_processor.membership.read_state import end_of


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Fetches batches and seeks on one event loop, so that every batch knows its epoch exactly."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._batches = BatchFetch()

    def _create_worker_consumer(self, *args: Any, **kwargs: Any) -> Any:
        consumer = super()._create_worker_consumer(*args, **kwargs)
        # The driver's own 1.5 s is fixed, and it reads aborted records unless Faust itself runs in transactions.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._isolation_level = "read_committed"
        return consumer

    @property
    def made(self) -> bool:
        """Whether there is a consumer."""
        return self._consumer is not None

    @property
    def in_flight(self) -> InFlight:
        """The batches that are not done, and the epoch."""
        return self._batches.in_flight

    def end(self, tp: TP) -> int | None:
        """Returns the offset after the last record that may be read; None before a fetch of it was answered."""
        return end_of(self._consumer, tp)

    async def on_thread_stop(self) -> None:
        """Stops the consumer. While its broker is away, aiokafka's fetcher ends in the cancellation it asked for."""
        with contextlib.suppress(asyncio.CancelledError):
            await super().on_thread_stop()

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: float | None = None,  # noqa: ASYNC109 -- as the driver calls it
        max_records: int | None = None,
    ) -> Mapping[TP, list[Any]]:
        """Fetches batches where the driver fetches records."""
        take = partial(super()._fetch_records, consumer, active_partitions)
        return await self._batches.fetch(take, consumer, timeout, max_records)

    async def begin_seek(self) -> int:
        """Opens a new epoch, in which nothing is fetched before `seek_all`; returns it."""
        self.in_flight.begin_seek()
        return self.in_flight.epoch

    async def seek_all(self, offsets: Mapping[TP, int], epoch: int) -> None:
        """Moves all partitions at once, and lets fetching begin, unless another seek has begun or is to come."""
        consumer = self._ensure_consumer()
        if epoch != self.in_flight.epoch:
            return
        with contextlib.suppress(IllegalStateError):  # not assigned any more: a rebalance is under way, which seeks
            for tp, offset in offsets.items():
                consumer.seek(TopicPartition(tp.topic, tp.partition), offset)
            self._batches.start_at(offsets)
