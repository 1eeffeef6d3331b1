"""One topic of the group: its batches one after another, tried until they are done, on a store that is trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import structlog

from forebay.pipelines.adapters import metrics
from forebay.pipelines.errors import ForebayError, StoreRolledBack, StoreUnavailable
from forebay.pipelines.feature_processor.membership.record_batch import RecordBatch
from forebay.pipelines.feature_processor.membership.store_trust import StoreTrust
from forebay.pipelines.feature_processor.membership.walk import Walk
from forebay.pipelines.feature_processor.whole_calls import whole_call
from forebay.pipelines.process.watchdog import WATCHDOG, rest, step

log = structlog.get_logger("forebay.process")

RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
"""How long to wait before each further attempt; the last one counts for all that follow."""


def retry_seconds(attempt: int) -> float:
    """Computes how long to wait before the next attempt, after so many."""
    return RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)]


class Group(Protocol):
    """What a topic needs of the consumer group that its partitions are assigned in."""

    @property
    def stopping(self) -> bool:
        """Whether the process leaves the group."""
        ...

    @property
    def epoch(self) -> int:
        """The present epoch: batches of another one must be dropped."""
        ...

    def release(self, batch: RecordBatch) -> None:
        """Lets the next fetch begin. From any thread, more than once."""
        ...

    async def pause(self, seconds: float) -> None:
        """Waits, but not while the process leaves."""
        ...

    async def read_again(self) -> None:
        """Gives up every position, and reads on from the store's progress."""
        ...

    async def give_up(self, error: ForebayError) -> None:
        """Ends the process, which says why."""
        ...


class AssignedTopic:
    """The partitions of one topic that are assigned to this process. Belongs to one event loop."""

    def __init__(self, walk: Walk, group: Group) -> None:
        self.walk = walk
        self.trust = StoreTrust(walk)
        self.done: dict[int, int] = {}
        """By partition, the offset after the last batch that was processed completely: what may be committed."""
        self.starts: dict[int, int] = {}
        """By assigned partition, where it started."""
        self.turn = asyncio.Lock()
        """Held while the walk, or the store through it, is used."""
        self._group = group
        self._watched = WATCHDOG.watch(f"batches of {walk.topic}")

    @property
    def trusted(self) -> bool:
        """Whether the store holds all that it acknowledged."""
        return self.trust.holds

    @property
    def idle(self) -> bool:
        """Whether no batch is under way."""
        return not self._watched.doing

    def unwatch(self) -> None:
        """Ends the watchdog's watch."""
        WATCHDOG.forget(self._watched)

    async def assign(self, earliest: Mapping[int, int]) -> None:
        """Reads the progress of assigned partitions. See `Walk.assign`."""
        async with self.turn:
            step(f"reading progress of {self.walk.topic}")
            await whole_call(self.trust.read_afresh, partial(self.walk.assign, earliest))
            rest()
        metrics.keep_partitions(self.walk.topic, earliest)

    async def begin(self, still_assigned: Callable[[], bool]) -> bool:
        """Writes that this process computes the partitions; returns False if they were taken away meanwhile.

        Raises:
            StoreUnavailable: the store may have lost writes since progress was read; call `assign` again.
        """
        async with self.turn:
            if not self.trusted:
                raise StoreUnavailable(f"{self.walk.topic}: the store was away since its progress was read")
            if not still_assigned():  # another process may have made progress there
                return False
            step(f"writing that {self.walk.topic} is computed here")
            await whole_call(self.walk.begin)
            rest()
        return True

    def start(self) -> Mapping[int, int]:
        """Notes, and returns, where the assigned partitions start; what was done before them is not committed again."""
        self.starts = dict(self.walk.next_offsets)
        self.done = {partition: end for partition, end in self.done.items() if partition not in self.starts}
        return self.starts

    async def process(self, batch: RecordBatch) -> None:
        """Tries a batch until it is done: an unreachable store or broker delays it, and nothing skips it."""
        with self._watched.here():
            await self._process_until_done(batch)
        self._group.release(batch)

    async def check_store(self) -> None:
        """Finds out, where no batch comes to do it, whether the store came back with older data."""
        try:
            async with self.turn:
                if self.trust.in_doubt:
                    await whole_call(self.trust.compare)
        except StoreRolledBack as error:
            await self._read_again(error)

    async def _process_until_done(self, batch: RecordBatch) -> None:
        topic, attempt = self.walk.topic, 0
        while not self._group.stopping:
            try:
                await self._process_once(batch)
                return
            except StoreUnavailable as error:
                metrics.STORE_RETRIES.labels(topic).inc()
                log.warning("batch delayed", topic=topic, error=str(error), attempt=attempt)
                rest()
                await self._group.pause(retry_seconds(attempt))
                attempt += 1
            except StoreRolledBack as error:
                await self._read_again(error)
                return
            except ForebayError as error:
                await self._group.give_up(error)
                return
            except Exception as error:
                # Faust would log it as the agent's and go on without this agent: a process that looks alive.
                log.error("unexpected", records=f"{topic}{batch}", exc_info=True)
                await self._group.give_up(
                    ForebayError(
                        f"an unexpected error on {topic}{batch}: {error!r}; nothing of these records is committed, "
                        f"they are read again after a restart; the log has the traceback"
                    )
                )
                return

    async def _process_once(self, batch: RecordBatch) -> None:
        async with self.turn:
            if batch.epoch != self._group.epoch or not batch.ends.keys() <= self.walk.next_offsets.keys():
                return
            if not self.trusted:
                await whole_call(self.trust.compare)
            with metrics.BATCH_SECONDS.labels(self.walk.topic).time():
                await whole_call(self.walk.process, batch.records, partial(self._group.release, batch), batch.ends)
            self.done |= batch.ends

    async def _read_again(self, error: StoreRolledBack) -> None:
        log.warning("starting again from the store's progress", topic=self.walk.topic, error=str(error))
        await self._group.read_again()
