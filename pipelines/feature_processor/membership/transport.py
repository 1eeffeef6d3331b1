"""The micro-batch transport: Faust's aiokafka driver, handing over whole batches of records.

Faust moves one Python object per record through its streams, which bounds it to some thousand
records a second. Here one Faust message is everything that was fetched of one topic, as if it were of one of the
partitions. Registered as `microbatch://` under the entry point group `faust.transports`.

Where a partition starts is not for Kafka's committed offsets to say but for the store's progress:
`perform_seek` asks the app's `start_offsets`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchError
from aiokafka.errors import IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from forebay.pipelines.adapters.kafka.producer import FETCH_WAIT_MS
from forebay.pipelines.contract.kafka.record import Record
from forebay.pipelines.feature_processor.membership.fetch_gate import InFlight

FETCH_TIMEOUT_S = 1.0
"""How long a fetch may take before Faust looks whether it should stop."""

LATER_ONES_S = 0.005
"""How long a fetch that has records already waits for those that came meanwhile: the broker is asked, and has none."""


class RecordBatch(NamedTuple):
    """All records fetched of one topic at once."""

    epoch: int
    """Counts the seeks: a batch of an earlier epoch was read from a position since given up."""
    number: int
    """No other batch of this process has it."""
    records: dict[int, list[Record]]
    """By partition that has some."""
    ends: dict[int, int]
    """By partition, the offset after all that was read of it: markers and records of aborted transactions, which no one
    is handed, have offsets too. Has the partitions of `records`, and those where nothing else was read."""

    def __str__(self) -> str:
        return " ".join(f"[{at}]@{some[0].offset}-{some[-1].offset}" for at, some in sorted(self.records.items()))


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

    def end(self, tp: TP) -> int | None:
        """The offset after the last record that may be read; None while no fetch of the partition was answered."""
        state = positioned(self._consumer).get(tp)
        if state is None:
            return None
        stable: int | None = state.lso
        highwater: int | None = state.highwater
        return stable if stable is not None and stable >= 0 else highwater

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
        ends = {tp: state.position for tp, state in positioned(consumer).items() if not _failed(consumer, tp)}
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


class Consumer(driver.Consumer):
    """One Faust message per fetched batch, and offsets counted by batch."""

    app: Any
    """The app, which has `start_offsets` and `done`."""
    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._looking_up = asyncio.Lock()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def epoch(self) -> int:
        """The present epoch: batches of another one must be dropped."""
        return self._thread.in_flight.epoch

    @property
    def seeking(self) -> bool:
        """Whether positions are being looked up."""
        return self._thread.in_flight.seeking

    def end(self, tp: TP) -> int | None:
        """See `ConsumerThread.end`."""
        return self._thread.end(tp)

    def release(self, batch: RecordBatch) -> None:
        """The next fetch begins, once this was said of all batches of the last one. From any thread, more than once."""
        with contextlib.suppress(RuntimeError):  # the thread's loop is closed: there is no next fetch
            self._thread.thread_loop.call_soon_threadsafe(self._thread.in_flight.release, batch.number)

    def _to_message(self, tp: TP, record: RecordBatch) -> ConsumerMessage:
        records = record.records.get(tp.partition)
        timestamp_s = records[-1].timestamp_ms / 1_000 if records else 0.0
        value: Any = record
        return ConsumerMessage(
            tp.topic, tp.partition, record.ends[tp.partition] - 1, timestamp_s, 0, [], None, value, None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    def _new_offset(self, tp: TP) -> int | None:
        """The next offset to commit: what was processed. Faust's acks also count batches that were dropped."""
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        offset: int | None = self.app.done.get(tp)
        return offset

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        """Every partition that was processed: Faust knows of one per batch only."""
        return (tp for tp in self.app.done if topics is None or tp in topics or tp.topic in topics)

    async def _commit(self, offsets: Any) -> bool:
        """Commits offsets of batches that are done; whether it did."""
        # A crash ends the thread that would commit: who waits for its answer waits for ever, and the process does not
        # come to say why it crashed. What is not committed is read again.
        if self._thread.crashed:
            return False
        return await super()._commit(offsets)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing to remember: a batch's offset is the last one read, so gaps are the rule."""

    def highwater(self, tp: TP) -> int:
        """Where a partition ends; 0 for one just assigned, or taken away while its last batch was processed."""
        try:
            return super().highwater(tp) or 0  # None until its first fetch was answered
        except AssertionError:  # aiokafka's way to say that it is not assigned
            return 0

    async def perform_seek(self) -> None:
        """Gives up every position, and begins to look up where partitions start; nothing is fetched until that is done.

        Only begins: Faust allows a seek as long as a request to the broker may take, and would never try again. But the
        store says where partitions start, and may be away for longer.
        """
        epoch = await self._thread.call_thread(self._thread.begin_seek)
        self.add_future(self._look_up_and_seek(epoch))

    async def _look_up_and_seek(self, epoch: int) -> None:
        """One after another, and only the last one that was asked for: each sets up all that is assigned."""
        async with self._looking_up:
            if epoch == self.epoch:
                await super().perform_seek()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seeks every assigned partition to where the app says it starts."""
        epoch = self.epoch
        assigned = self.assignment()
        earliest = await self.earliest_offsets(*assigned) if assigned else {}
        starts: Mapping[TP, int] = await self.app.start_offsets(
            {tp: earliest[tp] for tp in assigned}, lambda: epoch == self.epoch and assigned == self.assignment()
        )
        if starts:
            await self._thread.call_thread(self._thread.seek_all, starts, epoch)
        return starts


class Transport(driver.Transport):
    """`microbatch://host:port`."""

    Consumer = Consumer
    driver_version = f"microbatch+{driver.Transport.driver_version}"


def positioned(consumer: Any) -> dict[TP, Any]:
    """What aiokafka knows of each assigned partition that it has a position in."""
    subscription = consumer._subscription.subscription if consumer is not None else None
    if subscription is None or subscription.assignment is None:
        return {}
    states = {TP(*tp): subscription.assignment.state_value(tp) for tp in subscription.assignment.tps}
    return {tp: state for tp, state in states.items() if state is not None and state.has_valid_position}


def _failed(consumer: Any, tp: TP) -> bool:
    """Whether an error waits to be raised: aiokafka's position is then past a record that nobody was handed."""
    return isinstance(consumer._fetcher._records.get(TopicPartition(*tp)), FetchError)


def _record(raw: Any) -> Record:
    return Record(raw.offset, raw.key, raw.value, raw.headers, raw.timestamp)


def _by_topic(fetched: Mapping[TP, list[Any]]) -> dict[str, dict[int, list[Record]]]:
    """By topic and partition."""
    topics: dict[str, dict[int, list[Record]]] = {}
    for tp, raw in fetched.items():
        topics.setdefault(tp.topic, {})[tp.partition] = [_record(each) for each in raw]
    return topics
