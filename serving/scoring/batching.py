"""Gathers requests: those that arrive while a batch is in flight form the next one. No request waits for others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from forebay.pipelines.errors import ForebayError
from forebay.serving.observe import batches

Q = TypeVar("Q")
A = TypeVar("A")


class Overloaded(ForebayError):
    """More is waiting than the queue may hold."""


class _Waiting(NamedTuple, Generic[Q, A]):
    question: Q
    size: int
    answer: asyncio.Future[A]


Run = Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]]
"""Answers a batch, in order. An exception among the answers goes to its asker alone, one that is raised goes to all."""


def on_thread(thread: Executor, run: Callable[[Sequence[Q]], Sequence[A | Exception]]) -> Run[Q, A]:
    """Wraps `run`, so it is called on another thread."""
    return lambda batch: asyncio.get_running_loop().run_in_executor(thread, run, batch)


class Batcher(Generic[Q, A]):
    """Runs one batch at a time. All methods belong to one event loop."""

    def __init__(self, run: Run[Q, A], max_batch: int, max_queued: int) -> None:
        """Args:
        run: never called while a batch is under way.
        max_batch: a question that does not fit any more opens the next batch.
        max_queued: bound of what waits, in the unit of `submit`'s size.
        """
        self._run = run
        self._max_batch = max_batch
        self._max_queued = max_queued
        self._queue: deque[_Waiting[Q, A]] = deque()
        self._queued = 0
        self._busy = False
        self._running: asyncio.Future[Sequence[A | Exception]] | None = None

    async def submit(self, question: Q, size: int) -> A:
        """Returns the answer, once its batch is done.

        Raises:
            Overloaded: the queue is full; nothing was submitted.
            Exception: what `run` answered or raised.
        """
        if self._queued + size > self._max_queued:
            raise Overloaded(f"{self._queued} entities are waiting already; try again, or ask for fewer at once")
        loop = asyncio.get_running_loop()
        waiting: _Waiting[Q, A] = _Waiting(question, size, loop.create_future())
        self._queue.append(waiting)
        self._count(size)
        if not self._busy:
            self._busy = True
            # Not at once, so that requests which this turn of the loop still reads join the batch.
            loop.call_soon(self._next)
        return await waiting.answer

    def _next(self) -> None:
        batch = self._take()
        self._busy = bool(batch)
        if batch:
            batches.BATCH_ENTITIES.observe(sum(each.size for each in batch))
            # Kept here too, since an event loop does not keep a waiting task alive.
            self._running = running = asyncio.ensure_future(self._run([each.question for each in batch]))
            running.add_done_callback(partial(self._deliver, batch))

    def _take(self) -> list[_Waiting[Q, A]]:
        batch: list[_Waiting[Q, A]] = []
        size = 0
        while self._queue and (not batch or size + self._queue[0].size <= self._max_batch):
            waiting = self._queue.popleft()
            self._count(-waiting.size)
            # A future that is done here was cancelled: its client went away.
            if not waiting.answer.done():
                batch.append(waiting)
                size += waiting.size
        return batch

    def _deliver(self, batch: Sequence[_Waiting[Q, A]], running: asyncio.Future[Sequence[A | Exception]]) -> None:
        if running.cancelled():  # the loop ends, and with it those who wait
            return
        # First the next batch, so that its thread, or the store, does not idle while answers are sent.
        self._next()
        error = running.exception()
        outcomes: Sequence[A | BaseException] = running.result() if error is None else [error] * len(batch)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(outcome, BaseException):
                waiting.answer.set_exception(outcome)
            else:
                waiting.answer.set_result(outcome)

    def _count(self, change: int) -> None:
        self._queued += change
        batches.QUEUED_ENTITIES.inc(change)
