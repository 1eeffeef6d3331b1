"""The micro-batch transport: Faust's aiokafka driver, handing over whole batches of records.

Registered as `microbatch://` under the entry point group `faust.transports`. Where a partition starts is not for
Kafka's committed offsets to say but for the store's progress: `perform_seek` asks the app's `start_offsets`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, cast

from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from forebay.pipelines.feature_processor.membership.fetch import ConsumerThread
from forebay.pipelines.feature_processor.membership.record_batch import RecordBatch


class BatchApp(Protocol):
    """What the transport needs of its app."""

    consumer_generation_id: int
    """Faust's: of the group's present assignment."""

    def done(self, tp: TP) -> int | None:
        """Returns the offset to commit: the one after all that was processed completely; None where nothing was."""
        ...

    def all_done(self) -> Iterable[TP]:
        """Lists the partitions of which something was processed."""
        ...

    async def start_offsets(self, earliest: Mapping[TP, int], still_asked: Callable[[], bool]) -> Mapping[TP, int]:
        """Finds where every assigned partition starts.

        Args:
            earliest: the first record that Kafka retains of each assigned partition.
            still_asked: once it isn't, whatever is returned is not used.
        """
        ...


class Consumer(driver.Consumer):
    """A consumer that hands over one Faust message per fetched batch, and counts offsets by batch."""

    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._looking_up = asyncio.Lock()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _batch_app(self) -> BatchApp:
        return cast(BatchApp, self.app)

    @property
    def thread(self) -> ConsumerThread:
        """What fetches."""
        return self._thread

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
        """Releases a batch: once all batches of a fetch are released, the next one begins. Any thread may call it,
        again too.
        """
        with contextlib.suppress(RuntimeError):  # the thread's loop is closed: there is no next fetch
            self._thread.thread_loop.call_soon_threadsafe(self._thread.in_flight.release, batch.number)

    def _to_message(self, tp: TP, record: RecordBatch) -> ConsumerMessage:
        records = record.records.get(tp.partition)
        timestamp_s = records[-1].timestamp_ms / 1_000 if records else 0.0
        value: Any = record
        return ConsumerMessage(
            tp.topic, tp.partition, record.ends[tp.partition] - 1, timestamp_s, 0, [], None, value, None, 0, 0, tp,
            generation_id=self._batch_app.consumer_generation_id,
        )  # fmt: skip

    def _new_offset(self, tp: TP) -> int | None:
        """Finds the next offset to commit from what was processed: Faust's acks also count dropped batches."""
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self._batch_app.done(tp)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        """Lists every partition that was processed: Faust knows of one per batch only."""
        return (tp for tp in self._batch_app.all_done() if topics is None or tp in topics or tp.topic in topics)

    async def _commit(self, offsets: Any) -> bool:
        """Commits offsets of batches that are done; whether it did."""
        # A crash has ended the thread that would commit. Waiting for its answer would last for ever, and the process
        # would never say why it crashed. What is not committed is read again.
        if self._thread.crashed:
            return False
        return await super()._commit(offsets)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Remembers nothing: a batch's offset is the last one read, so gaps are the rule."""

    def highwater(self, tp: TP) -> int:
        """Finds where a partition ends; 0 for one just assigned, or taken away while its last batch was processed."""
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
        """Seeks one at a time, and only for the newest request: each seek sets all that is assigned."""
        async with self._looking_up:
            if epoch == self.epoch:
                await super().perform_seek()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seeks every assigned partition to where the app says it starts."""
        epoch = self.epoch
        assigned = self.assignment()
        earliest = await self.earliest_offsets(*assigned) if assigned else {}
        starts = await self._batch_app.start_offsets(
            {tp: earliest[tp] for tp in assigned}, lambda: epoch == self.epoch and assigned == self.assignment()
        )
        if starts:
            await self._thread.call_thread(self._thread.seek_all, starts, epoch)
        return starts


class Transport(driver.Transport):
    """`microbatch://host:port`."""

    Consumer = Consumer
    driver_version = f"microbatch+{driver.Transport.driver_version}"
