"""Encode: replies to the bodies of hot routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import msgspec
import structlog

from forebay.pipelines.errors import ModelError, RequestError
from forebay.serving.http.codec import (
    EntityAnswer,
    EntityError,
    FeaturesResponse,
    ModelReference,
    PredictResponse,
)
from forebay.serving.http.error_table import UNEXPECTED, is_unexpected
from forebay.serving.scoring.answers import Answer, Outcome
from forebay.serving.scoring.questions import Question, Reply
from forebay.serving.scoring.scorer import RequestScorer

log = structlog.get_logger("forebay.serve")


class ReplyEncoder:
    """Bodies of one deployment, whose questions they answer."""

    def __init__(self, scorer: RequestScorer) -> None:
        self._service = scorer.service.name
        self._models = {
            name: ModelReference(model.name, model.version, model.hash) for name, model in scorer.models.items()
        }
        self._deployment = scorer.deployment
        self._encode = msgspec.json.Encoder().encode

    def __call__(self, question: Question, reply: Reply) -> bytes:
        """Returns the body. An entity without an answer says why; a bug is logged.

        Raises:
            ModelError: the model failed.
            Exception: a bug, of which nothing can be answered.
        """
        entries = self._entries(question, reply.outcomes)
        if question.models != ():
            live = self._models[self._deployment.live]
            return self._encode(PredictResponse(live, self._deployment.generation, reply.as_of_ms, entries))
        return self._encode(FeaturesResponse(self._service, reply.as_of_ms, entries))

    def _entries(self, question: Question, outcomes: Sequence[Outcome]) -> list[EntityAnswer]:
        entries: list[EntityAnswer] = []
        bugs = [outcome for outcome in outcomes if _is_bug(outcome)]
        for at, outcome in enumerate(outcomes):
            if isinstance(outcome, Answer):
                entries.append(self._entry(outcome, question, f"$.entities[{at}]"))
            elif isinstance(outcome, RequestError):
                entries.append(_refused(outcome, f"$.entities[{at}]"))
            elif _is_bug(outcome) and len(bugs) < len(outcomes):
                entries.append(EntityAnswer(error=EntityError(f"$.entities[{at}]", f"internal: {UNEXPECTED}")))
            else:
                if isinstance(outcome, ModelError):
                    log.error("model failed", error=str(outcome))
                raise outcome
        if bugs:
            log.error("entities not answered", entities=len(bugs), exc_info=bugs[0])
        return entries

    def _entry(self, answer: Answer, question: Question, path: str) -> EntityAnswer:
        scores = answer.scores[answer.model] if answer.model else None
        if isinstance(scores, RequestError):
            return _refused(scores, path)
        return EntityAnswer(
            scores=scores,
            model=self._models[answer.model] if answer.model and self._deployment.shares else None,
            features=answer.values if question.include_features else None,
            fences=answer.fences,
            ages_ms=answer.ages_ms,
            complete=answer.complete,
            whole_from_ms=answer.whole_from_ms or None,
            ahead_ms=answer.ahead_ms,
        )


def _refused(error: RequestError, path: str) -> EntityAnswer:
    return EntityAnswer(error=EntityError(path, f"{error.path.removeprefix('$.')}: {error.message}"))


def _is_bug(outcome: Outcome) -> TypeGuard[Exception]:
    return isinstance(outcome, Exception) and is_unexpected(outcome)
