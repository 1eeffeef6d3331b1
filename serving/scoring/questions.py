"""Questions of doors, answered a batch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from forebay.pipelines.adapters.clock import Clock
from forebay.pipelines.errors import StoreRefused, StoreUnavailable
from forebay.serving.features.isolate import isolate
from forebay.serving.features.request import ScoringRequest
from forebay.serving.observe.metrics import count_predictions, observe_stages
from forebay.serving.scoring.answers import Outcome, answers
from forebay.serving.scoring.scorer import Scored, Scorer

log = structlog.get_logger("forebay.scoring")


class Question(NamedTuple):
    """What one request of a door asks of some entities. Its fields have been checked."""

    entities: Sequence[Mapping[str, Any]]
    """Join keys and request fields by name."""
    as_of_ms: int | None
    """None: now."""
    models: tuple[str, ...]
    """Names of the models that score; none: the features alone."""
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


class BatchAnswerer:
    """Answers questions; an entity that can't be answered fails alone, one with a damaged row in the store too.

    One thread at a time.
    """

    def __init__(self, scorer: Scorer, clock: Clock) -> None:
        self._scorer = scorer
        self._clock = clock

    def __call__(self, questions: Sequence[Question]) -> list[Reply]:
        """One reply per question, in order.

        Raises:
            StoreUnavailable, StoreRefused: nobody can be answered now.
        """
        now_ms = self._clock.now_ms() if any(question.as_of_ms is None for question in questions) else 0
        times = [now_ms if question.as_of_ms is None else question.as_of_ms for question in questions]
        outcomes: dict[int, list[Outcome]] = {}
        try:
            for names in dict.fromkeys(question.models for question in questions):
                members = [at for at, question in enumerate(questions) if question.models == names]
                asked = [
                    _Asked(ScoringRequest(fields, times[at]), questions[at].include_features)
                    for at in members
                    for fields in questions[at].entities
                ]
                found = iter(self._isolate(asked, names))
                outcomes.update((at, [next(found) for _ in questions[at].entities]) for at in members)
        except (StoreUnavailable, StoreRefused) as error:
            log.warning("batch not answered", questions=len(questions), error=str(error))
            raise
        return [Reply(as_of_ms, outcomes[at]) for at, as_of_ms in enumerate(times)]

    def _isolate(self, asked: Sequence[_Asked], names: Sequence[str]) -> list[Outcome]:
        """One outcome per entity: where the batch fails, those at fault fail alone."""
        return isolate(asked, lambda part: self._evaluate(part, names), lambda _asked, error: error)

    def _evaluate(self, asked: Sequence[_Asked], names: Sequence[str]) -> Sequence[Outcome]:
        requests = [each.request for each in asked]
        scored = self._scorer.score(requests, names)
        self._count(scored, len(asked))
        included = any(each.include_features for each in asked)
        return answers(scored, requests, self._scorer.assembler.values(scored.vectors) if included else None)

    def _count(self, scored: Scored, asked: int) -> None:
        observe_stages(scored.vectors, scored.model_ms if scored.models else None)
        for name, found in scored.models.items():
            count_predictions(self._scorer.models[name], asked - len(found.refusals))
