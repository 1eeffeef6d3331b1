"""The Faust app: one agent per topic, each batch processed completely before its offset is committed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import faust
import msgspec
import structlog
from faust.types import TP

from forebay.pipelines.adapters import metrics
from forebay.pipelines.adapters.kafka.admin import Topics
from forebay.pipelines.adapters.kafka.probe import RecordProbe
from forebay.pipelines.adapters.kafka.topic_watch import LOOK_S
from forebay.pipelines.errors import ForebayError, ProgressMismatch, StoreRefused, StoreUnavailable
from forebay.pipelines.feature_processor.membership.client_health import Vitals
from forebay.pipelines.feature_processor.membership.faust_connection import faust_settings
from forebay.pipelines.feature_processor.membership.transport import Consumer, RecordBatch
from forebay.pipelines.feature_processor.progress.cannot_continue import another_incarnation
from forebay.pipelines.feature_processor.rows.writer import StoreRolledBack
from forebay.pipelines.feature_processor.settings import ProcessorSettings
from forebay.pipelines.feature_processor.upkeep.schedule import Upkeep
from forebay.pipelines.feature_processor.walk.topic_batch import TopicBatches
from forebay.pipelines.feature_processor.whole_calls import whole_call
from forebay.pipelines.process.silence import Silence
from forebay.pipelines.process.watchdog import WATCHDOG, rest, step

log = structlog.get_logger("forebay.process")

RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)

LAG_EVERY_S = 1.0
"""How often the lag is measured: it takes a look at every partition."""

QUIET_LOOKS = 8
"""Seconds in which nothing is read before another client is asked, and again before this one is given up."""

METADATA_MAX_AGE_MS = 5_000
"""A broker that has just come back may not know its topics yet. A group that is assigned on its word is assigned
nothing, and stays so until the client asks again: after five minutes by default."""


class ProcessorApp(faust.App):
    """A Faust app whose partitions start where the store's progress says."""

    def __init__(
        self,
        topics: Sequence[TopicBatches],
        group: str,
        settings: ProcessorSettings,
        wanted: Callable[[], Collection[str]],
    ) -> None:
        """Args:
        wanted: fingerprints of definitions that are to come.
        """
        super().__init__(
            group,
            **faust_settings(settings.brokers),
            web_enabled=False,
            store="memory://",
            # Faust makes this folder even for an app without tables.
            datadir=str(Path(tempfile.gettempdir()) / "forebay-faust"),
            topic_allow_declare=False,
            topic_disable_leader=True,
            consumer_auto_offset_reset="earliest",
            consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
            broker_max_poll_records=settings.max_batch_records,
            broker_max_poll_interval=86_400.0,
            consumer_max_fetch_size=8 * 1024 * 1024,
            broker_session_timeout=settings.session_timeout_ms / 1_000,
            broker_heartbeat_interval=settings.session_timeout_ms / 3_000,
            broker_commit_interval=1.0,
            stream_buffer_maxsize=16,
            stream_wait_empty=False,
        )
        self._addresses = settings.brokers
        self._topics = {pipeline.parts.feed.topic: pipeline for pipeline in topics}
        self._busy = {topic: asyncio.Lock() for topic in self._topics}
        self._watched = {topic: WATCHDOG.watch(f"batches of {topic}") for topic in self._topics}
        self._taking_over = WATCHDOG.watch("taking over partitions")
        probe = RecordProbe(settings.brokers, group)
        self._silences = {topic: Silence(probe, QUIET_LOOKS) for topic in self._topics}
        self._trusted: dict[str, int] = {}
        """Per topic, how many connections had been lost when the store was known to hold all that it acknowledged."""
        self._upkeep = [
            Upkeep(
                pipeline,
                self._busy[topic],
                partial(self._is_trusted, topic),
                partial(self._check_between, topic),
                wanted,
                settings.retire_after_s,
            )
            for topic, pipeline in self._topics.items()
        ]
        self.failure: ForebayError | None = None
        """Why the app gave up."""
        self.done: dict[TP, int] = {}
        """Per partition, the offset after the last batch that was processed completely: what may be committed."""
        self._starts: dict[TP, int] = {}
        """Per assigned partition, where it started."""
        for topic in self._topics:
            self.agent(self.topic(topic, value_serializer="raw", key_serializer="raw"), name=topic)(self._consume)

    async def take_care(self) -> None:
        """What is to be done between batches, for as long as the app runs."""
        vitals = Vitals(self._consumer_thread, self._positions, self._silences)
        try:
            await asyncio.gather(
                *(each.run() for each in self._upkeep), self._report_lag(), self._watch_topics(), vitals.run()
            )
        finally:
            for watched in (*self._watched.values(), self._taking_over):
                WATCHDOG.forget(watched)

    def _consumer_thread(self) -> Any:
        return None if self._consumer is None else cast(Any, self._consumer)._thread

    def _positions(self, topic: str) -> dict[tuple[str, int], int]:
        """Where every partition of a topic is read on; empty while a batch of it is processed."""
        thread = self._consumer_thread()
        if self._watched[topic].doing or thread is None or thread._consumer is None:
            return {}
        partitions = self._topics[topic].partitions
        return {
            (topic, tp.partition): partitions[tp.partition].ledger.offset + 1 if tp.partition in partitions else -1
            for tp in self.consumer.assignment()
            if tp.topic == topic
        }

    async def _watch_topics(self) -> None:
        """Gives up where a topic is made anew while it is read: its offsets say nothing any more."""
        topics = Topics(self._addresses)
        while True:
            await asyncio.sleep(LOOK_S)
            for topic, present in (await asyncio.to_thread(topics.glance, *self._topics)).items():
                pipeline = self._topics[topic]
                now = msgspec.structs.replace(present, source_id=pipeline.parts.incarnation.source_id)
                if now != pipeline.parts.incarnation:
                    views = [view.name for view in pipeline.parts.feed.views]
                    await self._give_up(
                        another_incarnation(pipeline.parts.incarnation, now, 0, pipeline.parts.feed, views)
                    )
                    return

    async def _report_lag(self) -> None:
        while True:
            await asyncio.sleep(LAG_EVERY_S)
            for tp, start in self._starts.items():
                end = cast(Consumer, self.consumer).end(tp)
                if end is not None:
                    metrics.LAG_RECORDS.labels(tp.topic, tp.partition).set(max(0, end - self.done.get(tp, start)))

    def _is_trusted(self, topic: str) -> bool:
        """Whether no connection to the store was lost since progress was compared.

        Whoever meets the failure of a connection, the next one to use the store makes another without noticing.
        """
        return self._trusted.get(topic) == self._topics[topic].parts.store.breaks

    async def _consume(self, stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            with self._watched[message.topic].here():
                await self._process_until_done(message.topic, message.value)
            cast(Consumer, self.consumer).release(message.value)

    async def _process_until_done(self, topic: str, batch: RecordBatch) -> None:
        """Tries a batch until it is done; an unreachable store or broker delays it, nothing skips it."""
        attempt = 0
        while not self.should_stop:
            try:
                await self._process(topic, batch)
                return
            except StoreUnavailable as error:
                metrics.STORE_RETRIES.labels(topic).inc()
                log.warning("batch delayed", topic=topic, error=str(error), attempt=attempt)
                rest()
                await self.sleep(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
                attempt += 1
            except StoreRolledBack as error:
                await self._go_back(topic, error)
                return
            except ForebayError as error:
                await self._give_up(error)
                return
            except Exception as error:
                # Faust would log it as the agent's and go on without this agent: a process that looks alive.
                log.error("unexpected", records=f"{topic}{batch}", exc_info=True)
                await self._give_up(
                    ForebayError(
                        f"an unexpected error on {topic}{batch}: {error!r}; nothing of these records is committed, "
                        f"they are read again after a restart; the log has the traceback"
                    )
                )
                return

    async def _process(self, topic: str, batch: RecordBatch) -> None:
        pipeline = self._topics[topic]
        async with self._busy[topic]:
            if (
                batch.epoch != cast(Consumer, self.consumer).epoch
                or not batch.ends.keys() <= pipeline.partitions.keys()
            ):
                return
            if not self._is_trusted(topic):
                await self._check_store(topic)
            with metrics.BATCH_SECONDS.labels(topic).time():
                consumer = cast(Consumer, self.consumer)
                release = partial(consumer.release, batch)
                await whole_call(pipeline.process, batch.records, release, batch.ends)
            self.done |= {TP(topic, partition): end for partition, end in batch.ends.items()}

    async def _check_between(self, topic: str) -> None:
        """After a store failure, where no batch is there to find out."""
        try:
            async with self._busy[topic]:
                if topic in self._trusted and not self._is_trusted(topic):
                    await self._check_store(topic)
        except StoreRolledBack as error:
            await self._go_back(topic, error)

    async def _go_back(self, topic: str, error: StoreRolledBack) -> None:
        log.warning("starting again from the store's progress", topic=topic, error=str(error))
        if not cast(Consumer, self.consumer).seeking:  # one that is under way reads the progress of all topics
            await self.consumer.perform_seek()

    async def _check_store(self, topic: str) -> None:
        """After a store failure, before anything else is written: did the store come back with older data?

        Cached rows are dropped, and the progress of every partition is compared: rows that fell back must
        not be folded onto from where the next batch begins.

        Raises:
            StoreRolledBack: it did.
        """
        pipeline = self._topics[topic]
        for writer in pipeline.writers:
            writer.forget()
        breaks = pipeline.parts.store.breaks
        for each in pipeline.partitions.values():
            step(f"comparing the store's progress of {topic}")
            if await whole_call(each.ledger.has_fallen_back):
                raise StoreRolledBack(f"{topic}: the store's progress is behind what it had acknowledged")
        await whole_call(pipeline.publications.take_over_again)
        self._trusted[topic] = breaks

    async def start_offsets(self, earliest: Mapping[TP, int], still_asked: Callable[[], bool]) -> Mapping[TP, int]:
        """Where every assigned partition starts; waits as long as the store can't be reached.

        Args:
            earliest: the first record that Kafka retains of each assigned partition.
            still_asked: once it isn't, whatever is returned is not used.

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
                for silence in self._silences.values():
                    silence.broken()
                await self.sleep(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
                attempt += 1
            except (ProgressMismatch, StoreRefused) as error:
                if not still_asked():
                    return {}
                await self._give_up(error)
                raise
            else:
                self.done = {tp: offset for tp, offset in self.done.items() if tp not in earliest}
                self._starts = {
                    tp: self._topics[tp.topic].partitions[tp.partition].ledger.offset + 1 for tp in earliest
                }
                return self._starts
        return {}

    async def _assign(self, earliest: Mapping[TP, int], still_asked: Callable[[], bool]) -> None:
        """Reads all progress, then writes that it is made here. Where one topic is refused, nothing is written."""
        for topic, pipeline in self._topics.items():
            assigned = {tp.partition: offset for tp, offset in earliest.items() if tp.topic == topic}
            async with self._busy[topic]:
                breaks = pipeline.parts.store.breaks
                step(f"reading progress of {topic}")
                await whole_call(pipeline.assign, assigned)
                rest()
                self._trusted[topic] = breaks
            metrics.keep_partitions(topic, assigned)
        for topic, pipeline in self._topics.items():
            async with self._busy[topic]:
                if not self._is_trusted(topic):
                    raise StoreUnavailable(f"{topic}: the store was away since its progress was read")
                if not still_asked():  # another process may have made progress there
                    return
                step(f"writing that {topic} is computed here")
                await whole_call(pipeline.begin)
                rest()

    async def _give_up(self, error: ForebayError) -> None:
        log.error("stopping", error=str(error))
        self.failure = error
        await self.crash(error)
