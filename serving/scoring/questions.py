"""Questions of doors, answered a batch at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import structlog

from forebay.pipelines.adapters.clock import Clock
from forebay.pipelines.errors import StoreRefused, StoreUnavailable
from forebay.pipelines.process.watchdog import WATCHDOG, step
from forebay.serving.features.isolate import isolate
from forebay.serving.features.read import AsyncRowReader, Lookup, Rows
from forebay.serving.features.request import ScoringRequest
from forebay.serving.observe.metrics import count_predictions, observe_stages
from forebay.serving.scoring.answers import Outcome, answers
from forebay.serving.scoring.scorer import RequestScorer, Scored

log = structlog.get_logger("forebay.scoring")


class Question(NamedTuple):
    """What one request of a door asks of some entities. Its fields have been checked."""

    entities: Sequence[Mapping[str, Any]]
    """Join keys and request fields by name."""
    as_of_ms: int | None
    """None: now."""
    models: tuple[str, ...] | None
    """The models that score, `name/version`; none: the features alone; None: those that the deployment says."""
    include_features: bool


class Reply(NamedTuple):
    """What a question is answered."""

    as_of_ms: int
    """What "now" was, where the question named no time."""
    outcomes: Sequence[Outcome]
    """One per entity, in order."""


class _Asked(NamedTuple):
    """One entity of one question."""

    request: ScoringRequest
    include_features: bool


class _Group(NamedTuple):
    """The questions of a batch that ask the same models."""

    names: tuple[str, ...] | None
    members: list[int]
    """Places of its questions in the batch."""
    asked: list[_Asked]
    """Their entities, question by question."""


class _Batch:
    """Questions that are answered together, as of one now."""

    def __init__(self, questions: Sequence[Question], clock: Clock) -> None:
        now_ms = clock.now_ms() if any(question.as_of_ms is None for question in questions) else 0
        self._times = [now_ms if question.as_of_ms is None else question.as_of_ms for question in questions]
        self._questions = questions
        self.groups = [self._group(names) for names in dict.fromkeys(question.models for question in questions)]

    def _group(self, names: tuple[str, ...] | None) -> _Group:
        members = [at for at, question in enumerate(self._questions) if question.models == names]
        asked = [
            _Asked(ScoringRequest(fields, self._times[at]), self._questions[at].include_features)
            for at in members
            for fields in self._questions[at].entities
        ]
        return _Group(names, members, asked)

    def replies(self, outcomes: Sequence[Sequence[Outcome]]) -> list[Reply]:
        """Puts outcomes back to their questions: one reply per question, in order.

        Args:
            outcomes: for each of `groups`, one per entity that it asks about.
        """
        found: dict[int, Reply] = {}
        for group, of_group in zip(self.groups, outcomes, strict=True):
            following = iter(of_group)
            for at in group.members:
                found[at] = Reply(self._times[at], [next(following) for _ in self._questions[at].entities])
        return [found[at] for at in range(len(self._questions))]


class BatchAnswerer:
    """Answers questions; an entity that can't be answered fails alone, one with a damaged row in the store too.

    One thread at a time.
    """

    def __init__(self, scorer: RequestScorer, clock: Clock) -> None:
        self._scorer = scorer
        self._clock = clock

    def __call__(self, questions: Sequence[Question]) -> list[Reply]:
        """Returns one reply per question, in order.

        Raises:
            StoreUnavailable, StoreRefused: nobody can be answered now.
        """
        try:
            batch = _Batch(questions, self._clock)
            return batch.replies([self._isolate(group) for group in batch.groups])
        except (StoreUnavailable, StoreRefused) as error:
            log.warning("batch not answered", questions=len(questions), error=str(error))
            raise

    def _isolate(self, group: _Group) -> list[Outcome]:
        """Returns one outcome per entity: where the batch fails, those at fault fail alone."""

        def run(part: Sequence[_Asked]) -> Sequence[Outcome]:
            return _outcomes(self._scorer, self._scorer.score([each.request for each in part], group.names), part)

        return isolate(group.asked, run, lambda _asked, error: error)


class LoopAnswerer:
    """Answers questions on the event loop: waits for the store without a thread, and computes small batches in line.

    For services that run no functions of users.
    """

    def __init__(
        self, scorer: RequestScorer, clock: Clock, rows: AsyncRowReader, thread: Executor, inline_entities: int
    ) -> None:
        """Args:
        clock: one that does not wait for anything.
        thread: where larger batches are computed, while the loop goes on.
        inline_entities: the largest batch that the loop computes itself.
        """
        self._scorer = scorer
        self._clock = clock
        self._rows = rows
        self._thread = thread
        self._inline_entities = inline_entities
        self._watched = WATCHDOG.watch("computing thread")

    async def __call__(self, questions: Sequence[Question]) -> list[Reply]:
        """Returns one reply per question, in order.

        Raises:
            StoreUnavailable, StoreRefused: nobody can be answered now.
            Exception: an entity can't be answered. `BatchAnswerer` finds out which one.
        """
        try:
            batch = _Batch(questions, self._clock)
            return batch.replies([await self._evaluate(group) for group in batch.groups])
        except (StoreUnavailable, StoreRefused) as error:
            log.warning("batch not answered", questions=len(questions), error=str(error))
            raise

    async def _evaluate(self, group: _Group) -> Sequence[Outcome]:
        started = time.perf_counter()
        lookup = self._scorer.lookup([each.request for each in group.asked])
        cells = await self._rows.read(lookup.asked) if lookup.asked else []
        if len(group.asked) <= self._inline_entities:
            return self._compute(group, lookup, cells, started)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._compute_watched, group, lookup, cells, started)

    def _compute_watched(self, group: _Group, lookup: Lookup, cells: Rows, started: float) -> Sequence[Outcome]:
        with self._watched.here():
            step(f"computing {len(group.asked)} entities")
            return self._compute(group, lookup, cells, started)

    def _compute(self, group: _Group, lookup: Lookup, cells: Rows, started: float) -> Sequence[Outcome]:
        requests = [each.request for each in group.asked]
        scored = self._scorer.score_rows(requests, group.names, lookup, cells, started)
        return _outcomes(self._scorer, scored, group.asked)


def _outcomes(scorer: RequestScorer, scored: Scored, asked: Sequence[_Asked]) -> Sequence[Outcome]:
    """Returns one answer per entity, and counts them."""
    observe_stages(scored.vectors, scored.model_ms if scored.models else None)
    for name, found in scored.models.items():
        count_predictions(scorer.models[name], found.scored)
    included = any(each.include_features for each in asked)
    values = scorer.assembler.values(scored.vectors) if included else None
    return answers(scored, [each.request for each in asked], values)
