"""Fetches whole batches of records: one of each topic, once the batches before are done.

Faust moves one Python object per record through its streams, which bounds it to some thousand records a second. Here
one Faust message is everything that was fetched of one topic, as if it were of one of the partitions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP

from forebay.pipelines.contract.kafka.record import Record
from forebay.pipelines.feature_processor.membership.fetch_gate import InFlight
from forebay.pipelines.feature_processor.membership.read_state import failed, positioned
from forebay.pipelines.feature_processor.membership.record_batch import RecordBatch

FETCH_TIMEOUT_S = 1.0
"""How long a fetch may take before Faust looks whether it should stop."""

LATER_ONES_S = 0.005
"""How long a fetch that has records already waits for those that came meanwhile: the broker is asked, and has none."""

Take = Callable[[float | None, int | None], Awaitable[Mapping[TP, list[Any]]]]
"""Takes what aiokafka has fetched, by partition: waits so many seconds for a record, and takes at most so many."""


class BatchFetch:
    """Makes batches of what is fetched. Belongs to the event loop that seeks, so every batch knows its epoch."""

    def __init__(self) -> None:
        self.in_flight = InFlight()
        self._read_to: dict[TP, int] = {}
        """By partition, the offset after all that is in batches so far."""

    def start_at(self, offsets: Mapping[TP, int]) -> None:
        """Ends a seek: the partitions are read from these offsets, and from nowhere else."""
        self._read_to = dict(offsets)
        self.in_flight.end_seek()

    async def fetch(
        self, take: Take, consumer: Any, timeout_s: float | None, max_records: int | None
    ) -> Mapping[TP, list[RecordBatch]]:
        """Fetches one batch of each topic that was read on, keyed by the lowest partition in the batch.

        Args:
            take: how records are taken.
            consumer: aiokafka's, for its positions; None before it is made.
            timeout_s: how long to wait for the first record.
            max_records: over all topics.
        """
        if not await self.in_flight.none_left(FETCH_TIMEOUT_S):
            return {}
        fetched = await self._taken(take, timeout_s, max_records)
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
        """Finds, by topic and partition, the offset after all that was read; only where something was read."""
        ends = {tp: state.position for tp, state in positioned(consumer).items() if not failed(consumer, tp)}
        for tp, raw in fetched.items():
            ends[tp] = max(ends.get(tp, 0), raw[-1].offset + 1)
        moved = {tp: end for tp, end in ends.items() if tp in fetched or end > self._read_to.get(tp, end)}
        self._read_to |= moved
        topics: dict[str, dict[int, int]] = {}
        for tp, end in moved.items():
            topics.setdefault(tp.topic, {})[tp.partition] = end
        return topics

    async def _taken(self, take: Take, timeout_s: float | None, max_records: int | None) -> Mapping[TP, list[Any]]:
        """Takes what was fetched when the last batch began, and what came while it was processed.

        aiokafka asks for more only once everything it has is taken. Without the second look, every record would wait in
        its buffer while a batch of older ones is processed.
        """
        waiting = await take(0.0, max_records)
        if self.in_flight.seeking:
            return {}
        if not waiting:
            return await take(timeout_s, max_records)
        epoch = self.in_flight.epoch
        room = None if max_records is None else max_records - sum(map(len, waiting.values()))
        later: Mapping[TP, list[Any]] = {}
        if room is None or room > 0:
            # Raised, an error would cost the records at hand; the next fetch meets it again.
            with contextlib.suppress(KafkaError):
                later = await take(LATER_ONES_S, room)
        if self.in_flight.epoch != epoch:
            return later  # the others were read from a position since given up
        return {tp: [*waiting.get(tp, ()), *later.get(tp, ())] for tp in {**waiting, **later}}


def _record(raw: Any) -> Record:
    return Record(raw.offset, raw.key, raw.value, raw.headers, raw.timestamp)


def _by_topic(fetched: Mapping[TP, list[Any]]) -> dict[str, dict[int, list[Record]]]:
    """Groups records by topic and partition."""
    topics: dict[str, dict[int, list[Record]]] = {}
    for tp, raw in fetched.items():
        topics.setdefault(tp.topic, {})[tp.partition] = [_record(each) for each in raw]
    return topics
