"""Looks after the processor's Kafka client: tasks of the library that have ended, and partitions that are not read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog

from forebay.pipelines.feature_processor.membership.denied import denied
from forebay.pipelines.feature_processor.membership.ended import ClientFailed
from forebay.pipelines.feature_processor.membership.fetch import ConsumerThread
from forebay.pipelines.process.silence import Positions, Silence
from forebay.pipelines.process.watchdog import WATCHDOG, Watched

log = structlog.get_logger("forebay.process")

LOOK_S = 1.0


class Vitals:
    """Looks once a second, on the app's event loop, whose turning it reports to the watchdog."""

    def __init__(
        self,
        thread: Callable[[], ConsumerThread | None],
        positions: Callable[[str], Positions],
        silences: Mapping[str, Silence],
    ) -> None:
        """Args:
        thread: the consumer's thread, `None` before it is made.
        positions: of the owned partitions of a topic; empty while there is a reason why nothing is read.
        silences: by topic.
        """
        self._thread = thread
        self._positions = positions
        self._silences = silences

    async def run(self) -> None:
        """Checks the client once a second until it is cancelled. Raises what `look` raises."""
        loop, fetching = WATCHDOG.watch("event loop"), WATCHDOG.watch("consumer's event loop")
        try:
            while True:
                loop.step("turning")
                self._ask_consumer(fetching)
                await asyncio.sleep(LOOK_S)
                self.look()
        finally:
            WATCHDOG.forget(loop)
            WATCHDOG.forget(fetching)

    def _ask_consumer(self, fetching: Watched) -> None:
        thread = self._thread()
        loop = getattr(thread, "thread_loop", None)
        if thread is None or loop is None or not loop.is_running() or thread.should_stop:
            fetching.rest()
            return
        with suppress(RuntimeError):  # closed meanwhile
            loop.call_soon_threadsafe(fetching.step, "turning")

    def look(self) -> None:
        """Checks once that the client's tasks run and that owned partitions are read.

        Raises:
            ClientFailed: the client does not work any more.
            SettingsError: an ACL is missing.
        """
        thread = self._thread()
        consumer = None if thread is None or thread.should_stop else thread._consumer
        if consumer is not None and not consumer._closed:
            # aiokafka raises it from calls that Faust does not make, and waits for one.
            if (denial := denied(consumer._coordinator._pending_exception)) is not None:
                raise denial
            for name, task in client_tasks(consumer).items():
                if task is not None and task.done():
                    raise ClientFailed(f"the Kafka client's {name} has ended: {_reason(task)}")
        for topic, silence in self._silences.items():
            if silence.look(self._positions(topic)):
                raise ClientFailed(f"topic {topic} has records that the Kafka client does not read")


def client_tasks(consumer: Any) -> dict[str, asyncio.Future[Any] | None]:
    """Tasks without which aiokafka's consumer does not work, though nothing else says that they have ended."""
    return {
        "group coordination": getattr(consumer._coordinator, "_coordination_task", None),
        "fetching": getattr(consumer._fetcher, "_fetch_task", None),
        "metadata synchronisation": getattr(consumer._client, "_sync_task", None),
    }


def _reason(task: asyncio.Future[Any]) -> str:
    return "cancelled" if task.cancelled() else repr(task.exception())
