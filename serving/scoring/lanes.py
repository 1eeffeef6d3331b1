"""Lanes: small questions are answered on the event loop, all others on a thread beside it."""

from __future__ import annotations

import time

import structlog

from forebay.pipelines.errors import StoreRefused, StoreUnavailable
from forebay.serving.features.read import Rows
from forebay.serving.scoring.batching import Batcher, Overloaded
from forebay.serving.scoring.questions import Question, Reply
from forebay.serving.scoring.scorer import RequestScorer

log = structlog.get_logger("forebay.scoring")

SMALL_ENTITIES = 32
"""Of a question that is answered with others by the loop's lane; a larger one is a batch of its own, on the thread."""

INLINE_MS = 4.0
"""How long the event loop may compute without a pause: so long a new request, or `/livez`, waits at most."""

_INLINE_SIZES = (SMALL_ENTITIES, 16, 8, 4, 2, 1)
"""Sizes of batches that are tried."""

_ATTEMPTS = 3


class Lanes:
    """Answers questions. All methods belong to one event loop.

    A large question delays small ones only by the interpreter's lock, which its thread keeps for the process's switch
    interval at most each time that the loop wants it.
    """

    def __init__(self, loop: Batcher[Question, Reply] | None, thread: Batcher[Question, Reply]) -> None:
        """Args:
        loop: answers small questions; fails where a single entity can't be answered. None: there is no such lane.
        thread: answers anything, each entity by itself.
        """
        self._loop = loop
        self._thread = thread

    async def submit(self, question: Question, size: int) -> Reply:
        """Returns the answer.

        Raises:
            Overloaded: too much is waiting.
            StoreUnavailable, StoreRefused: nobody can be answered now.
        """
        if self._loop is not None and size <= SMALL_ENTITIES:
            try:
                return await self._loop.submit(question, size)
            except (StoreUnavailable, StoreRefused, Overloaded):
                raise
            except Exception as error:
                # Some entity of the batch has failed. The thread finds out which one, and what to answer for it.
                log.debug("asked again on the thread", error=repr(error))
        return await self._thread.submit(question, size)


def inline_entities(scorer: RequestScorer) -> int:
    """Measures how many entities this machine computes within `INLINE_MS`; 0: not even one."""
    return next((count for count in _INLINE_SIZES if _shortest_ms(scorer, count) <= INLINE_MS), 0)


def _shortest_ms(scorer: RequestScorer, count: int) -> float:
    """Measures the ms that so many entities without a row take, in the best of some attempts: others use the machine
    too.
    """
    requests = [scorer.placeholder] * count
    lookup = scorer.lookup(requests)
    cells: Rows = [[None] * len(fields) for _, fields in lookup.asked]
    taken = []
    for _ in range(_ATTEMPTS):
        started = time.perf_counter()
        scorer.score_rows(requests, None, lookup, cells, started)
        taken.append((time.perf_counter() - started) * 1e3)
    return min(taken)
