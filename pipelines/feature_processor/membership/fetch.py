"""Fetch whole batches of records, each once the batches before are done, and seek between them.

Faust moves one Python object per record through its streams, which bounds it to some thousand records a second. Here
one Faust message is everything that was fetched of one topic, as if it were of one of the partitions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from forebay.pipelines.adapters.kafka.producer import FETCH_WAIT_MS
from forebay.pipelines.contract.kafka.record import Record
from forebay.pipelines.feature_processor.membership.fetch_gate import InFlight
from forebay.pipelines.feature_processor.membership.read_state import end_of, failed, positioned
from forebay.pipelines.feature_processor.membership.record_batch import RecordBatch

FETCH_TIMEOUT_S = 1.0
"""How long a fetch may take before Faust looks whether it should stop."""

LATER_ONES_S = 0.005
"""How long a fetch that has records already waits for those that came meanwhile: the broker is asked, and has none."""


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Fetches batches and seeks on one event loop, so that every batch knows its epoch exactly."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.in_flight = InFlight()
        self._handed_out: dict[TP, int] = {}
        """By partition, up to where the app was told that it was read."""

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

    def end(self, tp: TP) -> int | None:
        """The offset after the last record that may be read; None while no fetch of the partition was answered."""
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
        """One batch of records of each topic, fetched once the batches before are done."""
        if not await self.in_flight.none_left(FETCH_TIMEOUT_S):
            return {}
        fetched = await self._take(consumer, active_partitions, timeout, max_records)
        if self.in_flight.seeking:
            return {}
        # No await between the fetch and here. A fetch that began before a seek and ends after it brings records of
        # the new positions, so they are of the new epoch: to drop them would be to skip them.
        records = _by_topic(fetched)
        return {
            TP(topic, min(ends)): [
                RecordBatch(self.in_flight.epoch, self.in_flight.hand_out(), records.get(topic, {}), ends)
            ]
            for topic, ends in self._ends(consumer, fetched).items()
        }

    def _ends(self, consumer: Any, fetched: Mapping[TP, list[Any]]) -> dict[str, dict[int, int]]:
        """By topic and partition, the offset after all that was read since the last time, where something was."""
        ends = {tp: state.position for tp, state in positioned(consumer).items() if not failed(consumer, tp)}
        for tp, raw in fetched.items():
            ends[tp] = max(ends.get(tp, 0), raw[-1].offset + 1)
        moved = {tp: end for tp, end in ends.items() if tp in fetched or end > self._handed_out.get(tp, end)}
        self._handed_out |= moved
        topics: dict[str, dict[int, int]] = {}
        for tp, end in moved.items():
            topics.setdefault(tp.topic, {})[tp.partition] = end
        return topics

    async def _take(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: float | None,  # noqa: ASYNC109 -- as the driver calls it
        max_records: int | None,
    ) -> Mapping[TP, list[Any]]:
        """What was fetched when the last batch began, and what came while it was processed.

        aiokafka asks for more only once everything it has is taken. Without the second look, every record would wait in
        its buffer while a batch of older ones is processed.
        """
        waiting = await super()._fetch_records(consumer, active_partitions, 0.0, max_records)
        if self.in_flight.seeking:
            return {}
        if not waiting:
            return await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        epoch = self.in_flight.epoch
        room = None if max_records is None else max_records - sum(map(len, waiting.values()))
        later: Mapping[TP, list[Any]] = {}
        if room is None or room > 0:
            # Raised, an error would cost the records at hand; the next fetch meets it again.
            with contextlib.suppress(KafkaError):
                later = await super()._fetch_records(consumer, active_partitions, LATER_ONES_S, room)
        if self.in_flight.epoch != epoch:
            return later  # the others were read from a position since given up
        return {tp: [*waiting.get(tp, ()), *later.get(tp, ())] for tp in {**waiting, **later}}

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
            self._handed_out = dict(offsets)
            self.in_flight.end_seek()


def _record(raw: Any) -> Record:
    return Record(raw.offset, raw.key, raw.value, raw.headers, raw.timestamp)


def _by_topic(fetched: Mapping[TP, list[Any]]) -> dict[str, dict[int, list[Record]]]:
    """By topic and partition."""
    topics: dict[str, dict[int, list[Record]]] = {}
    for tp, raw in fetched.items():
        topics.setdefault(tp.topic, {})[tp.partition] = [_record(each) for each in raw]
    return topics
