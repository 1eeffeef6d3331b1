"""The record of what one model says of one event: a prediction, or an unscored record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from confluent_kafka import Message

from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.prediction import Prediction, Timings, prediction_id
from forebay.pipelines.contract.kafka.record import prediction_headers
from forebay.pipelines.contract.kafka.topics import unscored_topic
from forebay.pipelines.contract.kafka.unscored import Reason, Unscored
from forebay.pipelines.errors import FeatureRefused, RequestError
from forebay.pipelines.steps.dead_letter_limit import GivenUp
from forebay.serving.features.request import ScoringRequest
from forebay.serving.models.model import Model
from forebay.serving.observe.metrics import UNSCORED
from forebay.serving.scoring.answers import Answer
from forebay.serving.scoring.scorer import RequestScorer
from forebay.serving.worker.outgoing import OutgoingRecord

_encode = msgspec.json.Encoder().encode


class Incoming(NamedTuple):
    """A valid event of the scored topic."""

    message: Message
    position: Position
    request: ScoringRequest
    counted_at: int
    """The offset that views must have passed to contain it."""


class Seen(NamedTuple):
    """An event, and what was seen of it."""

    event: Incoming
    barrier_met: bool
    answer: Answer
    timings: Timings


class OutcomeRecords:
    """Makes the records of one prediction topic, and of the topic of unscored events beside it."""

    def __init__(self, scorer: RequestScorer, topic_id: str, output: str, include_features: bool) -> None:
        """Args:
        topic_id: Kafka's id of the scored topic.
        output: the prediction topic.
        include_features: whether predictions carry the model's input; unscored records always do.
        """
        self._topic_id = topic_id
        self._output = output
        self._include_features = include_features
        self._generation = scorer.deployment.generation
        self._keys = [key.name for key in scorer.service.join_keys]
        self._request = [column.name for column in scorer.service.request]

    def __call__(self, seen: Seen, model: Model) -> OutgoingRecord:
        """The record of what the model says."""
        scores = seen.answer.scores[model.reference]
        if isinstance(scores, RequestError):
            record = self._unscored(seen, model, scores)
            given_up = GivenUp(seen.event.position, record.reason, record.error)
            outgoing = self._outgoing(unscored_topic(self._output), seen, model, record)
            return outgoing._replace(given_up=given_up if model.reference == seen.answer.model else None)
        return self._outgoing(self._output, seen, model, self._prediction(seen, model, scores))

    def _prediction(self, seen: Seen, model: Model, scores: dict[str, float | None]) -> Prediction:
        answer = seen.answer
        return Prediction(
            **self._shared(seen, model),
            scores=scores,
            timings_ms=seen.timings,
            features=answer.values if self._include_features else None,
        )

    def _unscored(self, seen: Seen, model: Model, error: RequestError) -> Unscored:
        reason = cast(Reason, error.reason) if isinstance(error, FeatureRefused) else "failed"
        UNSCORED.labels(model.name, model.version, reason).inc()
        return Unscored(
            **self._shared(seen, model),
            reason=reason,
            where=error.path.removeprefix("$").removeprefix("."),
            error=str(error),
            features=seen.answer.values or {},
        )

    def _shared(self, seen: Seen, model: Model) -> dict[str, Any]:
        """The fields that both records have."""
        event, answer = seen.event, seen.answer
        return {
            "id": prediction_id(event.position, self._topic_id, model.name, model.version),
            "source": str(event.position),
            "source_timestamp_ms": event.message.timestamp()[1],
            "model": model.name,
            "version": model.version,
            "model_hash": model.hash,
            "entities": _pick(self._keys, event.request.fields),
            "event_ms": event.request.as_of_ms,
            "fences": answer.fences,
            "complete": answer.complete,
            "ahead_ms": answer.ahead_ms,
            "whole_from_ms": answer.whole_from_ms or None,
            "barrier_met": seen.barrier_met,
            "request": _pick(self._request, event.request.fields),
            "ages_ms": answer.ages_ms,
            "deployment": self._generation,
        }

    @staticmethod
    def _outgoing(topic: str, seen: Seen, model: Model, record: Prediction | Unscored) -> OutgoingRecord:
        message, position = seen.event.message, seen.event.position
        headers = prediction_headers(message.headers() or (), position, model.name, model.version)
        return OutgoingRecord(topic, message.key(), _encode(record), headers)


def _pick(names: Sequence[str], fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in names}
