"""Score: a batch of questions to encoded answers. Runs on the scoring thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeGuard

import msgspec
import structlog

from forebay.pipelines.adapters.clock import Clock
from forebay.pipelines.errors import ModelError, RequestError, StoreRefused, StoreUnavailable
from forebay.serving.features.assemble import FeatureVectors
from forebay.serving.features.isolate import isolate
from forebay.serving.features.request import ScoringRequest
from forebay.serving.http.codec import (
    EntityAnswer,
    EntityError,
    FeaturesResponse,
    ModelReference,
    PredictResponse,
    Question,
)
from forebay.serving.http.error_table import UNEXPECTED, is_unexpected
from forebay.serving.observe.metrics import count_predictions, observe_stages
from forebay.serving.scoring.scorer import Scorer

log = structlog.get_logger("forebay.serve")

Outcome = EntityAnswer | Exception


class _Asked(NamedTuple):
    """One entity of one question."""

    request: ScoringRequest
    include_features: bool


class BatchAnswerer:
    """Answers questions; an entity that can't be answered fails alone. One thread at a time.

    A damaged row in the store is such an entity's too. A question of which nothing can be answered because of a
    bug has no answer: it is the bug's own error.
    """

    def __init__(self, scorer: Scorer, clock: Clock) -> None:
        self._scorer = scorer
        self._clock = clock
        self._model = ModelReference(scorer.model.name, scorer.model.version, scorer.model.hash)
        self._encode = msgspec.json.Encoder().encode

    def __call__(self, questions: Sequence[Question]) -> list[bytes | Exception]:
        """Per question the body of its response, or why it has none.

        Raises:
            StoreUnavailable, StoreRefused: nobody can be answered now.
        """
        try:
            timed = self._with_times(questions)
            scored = [at for at, question in enumerate(timed) if question.scored]
            looked_up = [at for at, question in enumerate(timed) if not question.scored]
            answers: dict[int, bytes | Exception] = {}
            for members in (scored, looked_up):
                answers.update(zip(members, self._answer([timed[at] for at in members]), strict=True))
        except (StoreUnavailable, StoreRefused) as error:
            log.warning("batch not answered", questions=len(questions), error=str(error))
            raise
        return [answers[at] for at in range(len(questions))]

    def _with_times(self, questions: Sequence[Question]) -> list[Question]:
        if all(question.as_of_ms is not None for question in questions):
            return list(questions)
        now_ms = self._clock.now_ms()
        return [each if each.as_of_ms is not None else each._replace(as_of_ms=now_ms) for each in questions]

    def _answer(self, questions: Sequence[Question]) -> list[bytes | Exception]:
        """Answers questions that are either all scored or all looked up."""
        asked = [
            _Asked(ScoringRequest(fields, question.as_of_ms or 0), question.include_features)
            for question in questions
            for fields in question.entities
        ]
        outcomes = self._isolate(asked, questions[0].scored) if asked else []
        answers: list[bytes | Exception] = []
        hidden: list[Exception] = []
        start = 0
        for question in questions:
            mine = outcomes[start : start + len(question.entities)]
            start += len(question.entities)
            answers.append(answer := self._respond(question, mine))
            if isinstance(answer, bytes):
                hidden += [outcome for outcome in mine if _is_bug(outcome)]
        if hidden:
            log.error("entities not answered", entities=len(hidden), exc_info=hidden[0])
        return answers

    def _isolate(self, asked: Sequence[_Asked], scored: bool) -> list[Outcome]:
        """One outcome per entity: where the batch fails, those at fault fail alone."""
        return isolate(asked, lambda part: self._evaluate(part, scored), lambda _asked, error: error)

    def _evaluate(self, asked: Sequence[_Asked], scored: bool) -> list[Outcome]:
        requests = [each.request for each in asked]
        scores = None
        if scored:
            result = self._scorer.score(requests)
            vectors, scores = result.vectors, result.scores
            observe_stages(vectors, result.model_ms)
            count_predictions(self._scorer.model, len(asked) - len(vectors.refusals))
        else:
            vectors = self._scorer.features(requests)
            observe_stages(vectors)
        included = any(each.include_features for each in asked)
        features = self._scorer.assembler.values(vectors) if included else {}
        return [
            vectors.refusals.get(at)
            or EntityAnswer(
                fences={alias: view.fences[at] for alias, view in vectors.views.items() if view.streamed},
                ages_ms=_ages_ms(vectors, at, each.request.as_of_ms),
                complete=vectors.complete(at),
                whole_from_ms=vectors.whole_from_ms(at) or None,
                ahead_ms=vectors.ahead_ms(at),
                scores={name: values[at] for name, values in scores.items()} if scores is not None else None,
                features={name: values[at] for name, values in features.items()} if each.include_features else None,
            )
            for at, each in enumerate(asked)
        ]

    def _respond(self, question: Question, outcomes: Sequence[Outcome]) -> bytes | Exception:
        entries: list[EntityAnswer] = []
        only_bugs = all(_is_bug(outcome) for outcome in outcomes)
        for at, outcome in enumerate(outcomes):
            if isinstance(outcome, EntityAnswer):
                entries.append(outcome)
            elif isinstance(outcome, RequestError):
                message = f"{outcome.path.removeprefix('$.')}: {outcome.message}"
                entries.append(EntityAnswer(error=EntityError(f"$.entities[{at}]", message)))
            elif _is_bug(outcome) and not only_bugs:
                entries.append(EntityAnswer(error=EntityError(f"$.entities[{at}]", f"internal: {UNEXPECTED}")))
            else:
                if isinstance(outcome, ModelError):
                    log.error("model failed", error=str(outcome))
                return outcome
        as_of_ms = question.as_of_ms or 0
        if question.scored:
            return self._encode(PredictResponse(self._model, as_of_ms, entries))
        return self._encode(FeaturesResponse(self._scorer.service.name, as_of_ms, entries))


def _is_bug(outcome: Outcome) -> TypeGuard[Exception]:
    return isinstance(outcome, Exception) and is_unexpected(outcome)


def _ages_ms(vectors: FeatureVectors, at: int, as_of_ms: int) -> dict[str, int | None]:
    """Per view, the age of the row; None for no row (its time is NaN)."""
    times = {alias: float(view.event_ms[at]) for alias, view in vectors.views.items()}
    return {alias: as_of_ms - int(time) if time == time else None for alias, time in times.items()}
