"""The Faust app: an agent per topic, and partitions that start where the store's progress says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import faust
import structlog
from faust.types import TP

from forebay.pipelines.errors import ForebayError, ProgressMismatch, StoreRefused, StoreUnavailable
from forebay.pipelines.feature_processor.membership.assigned import AssignedTopic, retry_seconds
from forebay.pipelines.feature_processor.membership.faust_settings import faust_settings
from forebay.pipelines.feature_processor.membership.fetch import ConsumerThread
from forebay.pipelines.feature_processor.membership.record_batch import RecordBatch
from forebay.pipelines.feature_processor.membership.transport import Consumer
from forebay.pipelines.feature_processor.membership.walk import Walk
from forebay.pipelines.feature_processor.settings import ProcessorSettings
from forebay.pipelines.process.watchdog import WATCHDOG

log = structlog.get_logger("forebay.process")


class ProcessorApp(faust.App):
    """Hands fetched batches to their topics. Implements `Group` for these, and `BatchApp` for the transport."""

    def __init__(self, walks: Sequence[Walk], group: str, settings: ProcessorSettings) -> None:
        super().__init__(group, **faust_settings(settings))
        self.assigned = {walk.topic: AssignedTopic(walk, self) for walk in walks}
        """By name, every topic that is read."""
        self.failure: ForebayError | None = None
        """Why the app gave up."""
        self.waiting_for_store = False
        """Whether partitions can't start because the store is away."""
        self._taking_over = WATCHDOG.watch("taking over partitions")
        for topic in self.assigned:
            self.agent(self.topic(topic, value_serializer="raw", key_serializer="raw"), name=topic)(self._consume)

    async def _consume(self, stream: Any) -> None:
        messages: AsyncIterator[Any] = stream.events()
        async for event in messages:
            await self.assigned[event.message.topic].process(event.message.value)

    @property
    def _batches(self) -> Consumer:
        return cast(Consumer, self.consumer)

    @property
    def thread(self) -> ConsumerThread | None:
        """The thread that fetches; None before it is made."""
        return None if self._consumer is None else self._batches.thread

    @property
    def stopping(self) -> bool:
        """See `Group.stopping`."""
        return bool(self.should_stop)

    @property
    def epoch(self) -> int:
        """See `Group.epoch`."""
        return self._batches.epoch

    def release(self, batch: RecordBatch) -> None:
        """See `Group.release`."""
        self._batches.release(batch)

    async def pause(self, seconds: float) -> None:
        """See `Group.pause`."""
        await self.sleep(seconds)

    async def read_again(self) -> None:
        """See `Group.read_again`."""
        if not self._batches.seeking:  # one that is under way reads the progress of all topics
            await self._batches.perform_seek()

    async def give_up(self, error: ForebayError) -> None:
        """See `Group.give_up`."""
        log.error("stopping", error=str(error))
        self.failure = error
        await self.crash(error)

    def unwatch(self) -> None:
        """Ends the watchdog's watches."""
        WATCHDOG.forget(self._taking_over)
        for assigned in self.assigned.values():
            assigned.unwatch()

    def owned(self) -> set[TP]:
        """Returns the partitions that are assigned to this process."""
        return set(self._batches.assignment())

    def end(self, topic: str, partition: int) -> int | None:
        """Returns the offset after the last record that may be read; None while that is not known."""
        return self._batches.end(TP(topic, partition))

    def done(self, tp: TP) -> int | None:
        """See `BatchApp.done`."""
        return self.assigned[tp.topic].done.get(tp.partition)

    def all_done(self) -> Iterator[TP]:
        """See `BatchApp.all_done`."""
        return (TP(topic, partition) for topic, each in self.assigned.items() for partition in each.done)

    async def start_offsets(self, earliest: Mapping[TP, int], still_asked: Callable[[], bool]) -> Mapping[TP, int]:
        """See `BatchApp.start_offsets`; waits as long as the store can't be reached.

        Raises:
            ProgressMismatch: the topics are not those that progress was made on.
            StoreRefused: the store answers, and refuses.
        """
        attempt = 0
        while still_asked() and not self.should_stop:
            try:
                with self._taking_over.here():
                    await self._assign(earliest, still_asked)
            except StoreUnavailable as error:
                log.warning("waiting for the store", error=str(error))
                self.waiting_for_store = True
                await self.sleep(retry_seconds(attempt))
                attempt += 1
            except (ProgressMismatch, StoreRefused) as error:
                if not still_asked():
                    return {}
                await self.give_up(error)
                raise
            else:
                self.waiting_for_store = False
                return {
                    TP(topic, partition): offset
                    for topic, assigned in self.assigned.items()
                    for partition, offset in assigned.start().items()
                }
        return {}

    async def _assign(self, earliest: Mapping[TP, int], still_asked: Callable[[], bool]) -> None:
        """Reads all progress, then writes that it is made here. Where one topic is refused, nothing is written."""
        for topic, assigned in self.assigned.items():
            await assigned.assign({tp.partition: offset for tp, offset in earliest.items() if tp.topic == topic})
        for assigned in self.assigned.values():
            if not await assigned.begin(still_asked):
                return
