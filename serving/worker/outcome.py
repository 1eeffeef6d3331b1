"""The records of what models say of one event: predictions, or unscored records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from confluent_kafka import Message

from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.prediction import Prediction, Timings, prediction_id
from forebay.pipelines.contract.kafka.record import prediction_headers
from forebay.pipelines.contract.kafka.topics import shadow_topic, unscored_topic
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
    """Makes the records of a prediction topic, and of the topics beside it."""

    def __init__(self, scorer: RequestScorer, topic_id: str, output: str, include_features: bool) -> None:
        """Args:
        topic_id: Kafka's id of the scored topic.
        output: the prediction topic.
        include_features: whether predictions carry the model's input; unscored records always do.
        """
        self._models = scorer.models
        self._topic_id = topic_id
        self._output = output
        self._include_features = include_features
        self._generation = scorer.deployment.generation
        self._keys = [key.name for key in scorer.service.join_keys]
        self._request = [column.name for column in scorer.service.request]

    def __call__(self, seen: Seen) -> list[OutgoingRecord]:
        """The records of what each model says: of the one that answers, and of those in the shadow."""
        of_event = self._of_event(seen)
        return [self._record(seen, self._models[name], of_event) for name in seen.answer.scores]

    def _record(self, seen: Seen, model: Model, of_event: Mapping[str, Any]) -> OutgoingRecord:
        answers = model.reference == seen.answer.model
        topic = self._output if answers else shadow_topic(self._output)
        scores = seen.answer.scores[model.reference]
        fields = {
            **of_event,
            "id": prediction_id(seen.event.position, self._topic_id, model.name, model.version),
            "model": model.name,
            "version": model.version,
            "model_hash": model.hash,
        }
        if not isinstance(scores, RequestError):
            features = seen.answer.values if self._include_features else None
            prediction = Prediction(**fields, scores=scores, timings_ms=seen.timings, features=features)
            return _outgoing(topic, seen, model, prediction)
        record = _unscored(seen, model, scores, fields)
        given_up = GivenUp(seen.event.position, record.reason, record.error) if answers else None
        return _outgoing(unscored_topic(topic), seen, model, record)._replace(given_up=given_up)

    def _of_event(self, seen: Seen) -> dict[str, Any]:
        """The fields that the records of one event share."""
        event, answer = seen.event, seen.answer
        return {
            "source": str(event.position),
            "source_timestamp_ms": event.message.timestamp()[1],
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


def _unscored(seen: Seen, model: Model, error: RequestError, fields: Mapping[str, Any]) -> Unscored:
    """The record of an event without scores; counted."""
    reason = cast(Reason, error.reason) if isinstance(error, FeatureRefused) else "failed"
    UNSCORED.labels(model.name, model.version, reason).inc()
    where = error.path.removeprefix("$").removeprefix(".")
    return Unscored(**fields, reason=reason, where=where, error=str(error), features=seen.answer.values or {})


def _outgoing(topic: str, seen: Seen, model: Model, record: Prediction | Unscored) -> OutgoingRecord:
    message = seen.event.message
    headers = prediction_headers(message.headers() or (), seen.event.position, model.name, model.version)
    return OutgoingRecord(topic, message.key(), _encode(record), headers)


def _pick(names: Sequence[str], fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in names}
