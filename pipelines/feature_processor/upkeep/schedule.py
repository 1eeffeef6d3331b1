"""Looks after a feed's rows beside its batches: publishes, withdraws and retires them.

One of all processes also removes rows that have expired.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

import structlog

from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.progress import Progress
from forebay.pipelines.errors import StoreUnavailable
from forebay.pipelines.feature_processor.upkeep.claims import WalkClaims
from forebay.pipelines.feature_processor.upkeep.expiry import ExpiryWalk, expiring
from forebay.pipelines.feature_processor.upkeep.sweep import Sweep
from forebay.pipelines.feature_processor.walk.partition import Partition
from forebay.pipelines.feature_processor.walk.topic_batch import TopicBatches
from forebay.pipelines.feature_processor.whole_calls import whole_call
from forebay.pipelines.process.watchdog import WATCHDOG, rest, step

log = structlog.get_logger("forebay.process")

LOOK_S = 0.5
"""How often upkeep looks for something to do."""

PAGE_PAUSE_S = 0.01
"""The pause between pages, in which batches go on: a walk delays them by one page at most."""

EXPIRE_EVERY_S = 3_600.0
FIRST_EXPIRY_S = 60.0
"""How long after the start of the process: by then, rebalances are over."""

DUE_LOOK_S = 0.05
"""How often upkeep looks for rows that are due to be published: a small part of the least `publish: every`."""

LOOK_AGAIN_S = 10.0
"""How often upkeep asks whether another process has written rows without publishing them. This process also reads the
records of those rows, and publishes them then; but until a walk has seen them, a process that takes over must do it."""


class Turns(Protocol):
    """What upkeep needs of the membership in the consumer group."""

    @property
    def turn(self) -> asyncio.Lock:
        """Held while the topic's parts are used."""
        ...

    @property
    def trusted(self) -> bool:
        """Whether the store is known to hold all that it acknowledged.

        Until then upkeep does nothing: a row that the store has set back must not be taken for an old one.
        """
        ...

    async def check_store(self) -> None:
        """Finds out whether the store is trusted, and goes back to its progress where it has lost writes."""
        ...


class Upkeep:
    """Looks after the rows of one feed, whose lock it takes page by page."""

    def __init__(
        self,
        topic: TopicBatches,
        turns: Turns,
        wanted: Callable[[], Collection[str]],
        retire_after_s: float,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        wanted: fingerprints of definitions to come, which are not retired before they are published.
        retire_after_s: see `ProcessorSettings`.
        """
        self._topic = topic
        self._turns = turns
        self._wanted = wanted
        self._now_s = monotonic_s
        self._claims = WalkClaims(topic.parts.project, topic.parts.store, int(EXPIRE_EVERY_S * 1_000), monotonic_s)
        self._next_expiry_s = monotonic_s() + FIRST_EXPIRY_S
        self._retire_after_s = retire_after_s
        self._retire_at_s = monotonic_s() + retire_after_s
        self._look_again_s = monotonic_s() + LOOK_AGAIN_S
        self._others_before: dict[tuple[Partition, str], dict[str, Progress]] = {}
        """By partition and completely published view, the progress of the view's other definitions at the last look."""
        self._retired: dict[str, set[str]] = {}
        """By view, fingerprints of definitions whose rows are still to be removed."""

    async def run(self) -> None:
        """Runs until it is cancelled. A store that can't be reached only delays it."""
        topic = self._topic.parts.feed.topic
        await asyncio.gather(
            _repeat(self.look, LOOK_S, f"upkeep of {topic}"),
            _repeat(self.publish_due, DUE_LOOK_S, f"publishing of {topic}"),
        )

    async def publish_due(self) -> None:
        """Publishes rows whose values have been held back for their time.

        Raises:
            StoreUnavailable: they are due again at the next look.
        """
        async with self._turns.turn:
            if self._turns.trusted and self._topic.any_due:
                await whole_call(self._topic.publish_due)
                rest()

    async def look(self) -> None:
        """Does what is due. A store that came back with older data is noticed here where no events come.

        Raises:
            StoreUnavailable: the rest is due again at the next look.
        """
        async with self._turns.turn:
            step("asking the store whether it answers")
            await whole_call(self._topic.parts.store.ping)
            rest()
        if not self._turns.trusted:
            await self._turns.check_store()
        async with self._turns.turn:
            if self._turns.trusted:
                # Another process may have made the last partition ready, while no events come to this one.
                step("looking for what can be published")
                await whole_call(self._topic.publications.take_over)
                rest()
        if self._now_s() >= self._look_again_s:
            await self._look_again()
        if self._now_s() >= self._retire_at_s:
            await self._retire()
        if self._retired or self._has_unpublished_rows():
            await self._sweep()
        if self._now_s() >= self._next_expiry_s:
            await self._expire()

    async def _look_again(self) -> None:
        async with self._turns.turn:
            step("looking for rows that others wrote")
            await whole_call(self._topic.publications.look_again)
        self._look_again_s = self._now_s() + LOOK_AGAIN_S

    def _has_unpublished_rows(self) -> bool:
        return any(
            self._topic.publications.incomplete(writer.view, partition)
            for partition in self._topic.partitions
            for writer in self._topic.writers
        )

    async def _sweep(self) -> None:
        if await self._all_pages(Sweep(self._topic, self._retired).page):
            self._retired = {}

    async def _expire(self) -> None:
        """Removes rows that have expired, unless another process does so, or has done so within the hour."""
        async with self._turns.turn:
            if not self._turns.trusted:
                return
            step("claiming the walk that removes expired rows")
            wait_ms = await whole_call(self._claims.claim, expiring(self._topic))
            rest()
        if await self._all_pages(ExpiryWalk(self._topic, self._claims).page):
            self._next_expiry_s = self._now_s() + wait_ms / 1_000

    async def _all_pages(self, page: Callable[[], bool]) -> bool:
        """Walks page by page, between batches; False where the store may have fallen back meanwhile."""
        while True:
            async with self._turns.turn:
                if not self._turns.trusted:
                    return False
                step("walking over rows, one page")
                if await whole_call(page):
                    return True
                rest()
            await asyncio.sleep(PAGE_PAUSE_S)

    async def _retire(self) -> None:
        """Retires replaced definitions that no process has advanced since the last time, and no scorer leases."""
        async with self._turns.turn:
            if not self._turns.trusted:
                return
            former, self._others_before = self._others_before, {}
            publications = self._topic.publications
            for number, partition in self._topic.partitions.items():
                for view in (writer.view for writer in self._topic.writers):
                    if publications.published(view) and not publications.incomplete(view, number):
                        before = former.get((partition, view.name), {})
                        step(f"looking for definitions of {view.name} to retire")
                        gone = await whole_call(self._retire_others, partition, view, before)
                        self._retired.setdefault(view.name, set()).update(gone)
        self._retired = {view: gone for view, gone in self._retired.items() if gone}
        self._retire_at_s = self._now_s() + self._retire_after_s

    def _retire_others(self, partition: Partition, view: StreamView, before: dict[str, Progress]) -> set[str]:
        others = partition.ledger.others(view)
        gone = {each for each, progress in others.items() if before.get(each) == progress} - set(self._wanted())
        self._others_before[partition, view.name] = others
        return partition.ledger.retire(view, gone)


async def _repeat(work: Callable[[], Awaitable[None]], every_s: float, name: str) -> None:
    """Repeats work every so often, under a name for watchdog and log; an unreachable store only delays it."""
    watched = WATCHDOG.watch(name)
    try:
        while True:
            await asyncio.sleep(every_s)
            try:
                with watched.here():
                    await work()
            except StoreUnavailable as error:
                log.warning("rows not looked after", work=name, error=str(error))
    finally:
        WATCHDOG.forget(watched)
