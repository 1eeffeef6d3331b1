"""The Kafka door, without the Kafka: every event of the scored topic becomes one prediction, or a dead letter."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog
from confluent_kafka import Message

from forebay.pipelines.adapters import metrics
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.prediction import Prediction, Timings, prediction_id
from forebay.pipelines.contract.kafka.recipients import Recipients
from forebay.pipelines.contract.kafka.record import (
    Headers,
    dead_letter_headers,
    kept_headers,
    prediction_headers,
    recorded_ms,
)
from forebay.pipelines.contract.kafka.topics import dead_letter_topic
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.errors import ForebayError, RecordError, RequestError
from forebay.pipelines.process.watchdog import step
from forebay.pipelines.steps.decode.decoder import SchemaSource, decoder_for
from forebay.pipelines.steps.validate import Validator
from forebay.serving.features.isolate import isolate
from forebay.serving.features.request import ScoringRequest, check_asks
from forebay.serving.observe.metrics import BARRIER_NOT_MET, count_predictions, observe_stages
from forebay.serving.scoring.answers import Answer, answers
from forebay.serving.scoring.scorer import Scored, Scorer
from forebay.serving.worker.addressed import counted_at, for_model
from forebay.serving.worker.barrier import Awaited, Barrier

log = structlog.get_logger("forebay.score")

_encode = msgspec.json.Encoder().encode


class Refused(RecordError):
    """A policy refuses to score the event, or the model or an on-demand function fails on it."""

    reason = "refused"


class OutgoingRecord(NamedTuple):
    """A record to be produced in the same transaction as the offsets."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class Incoming(NamedTuple):
    """A valid event of the scored topic."""

    message: Message
    position: Position
    request: ScoringRequest
    counted_at: int
    """The offset that views must have passed to contain it."""


class EventScorer:
    """Turns a batch of records of the scored topic into predictions and dead letters. Does no Kafka I/O."""

    def __init__(
        self,
        scorer: Scorer,
        source: Source,
        barrier: Barrier,
        output: str,
        include_features: bool,
        schemas: SchemaSource | None = None,
        *,
        topic_id: str,
    ) -> None:
        """Args:
            output: the prediction topic.
            topic_id: Kafka's id of the scored topic.
            include_features: whether predictions carry the model's input.
            schemas: of the topic's events, where they name them by an id.

        Raises:
            PlanError: events of the source lack a field the feature service needs.
            SettingsError: events name their schema by an id, and `schemas` is not there.
        """
        self._scorer = scorer
        self._model = scorer.model
        self._recipients = Recipients(scorer.project, model=self._model.name)
        self._source = source
        self._barrier = barrier
        self._output = output
        self._topic_id = topic_id
        self._include_features = include_features
        self._decode = decoder_for(source, schemas)
        self._validate = Validator(source, (key.name for key in scorer.service.join_keys))
        service = scorer.service
        self._keys = [key.name for key in service.join_keys]
        self._request = [column.name for column in service.request]
        check_asks(source, service)
        columns = [column.name for column in source.columns]
        self._fields = list(dict.fromkeys([*self._keys, *self._request, *columns]))

    def __call__(self, messages: Sequence[Message]) -> list[OutgoingRecord]:
        """The records to produce for these, in order per partition.

        Raises:
            StoreUnavailable: the same batch can be tried again.
        """
        out: list[OutgoingRecord] = []
        incoming = self._requests(messages, out)
        waited, met = self._wait(incoming)
        step(f"scoring {len(messages)} records")
        out += self._score(incoming, met, waited)
        return out

    def _requests(self, messages: Sequence[Message], out: list[OutgoingRecord]) -> list[Incoming]:
        messages, unclear = for_model(messages, self._recipients.project, self._recipients.model)
        out += [self._dead_letter(message, error) for message, error in unclear]
        decoded = self._decode([message.value() for message in messages])
        recorded = recorded_ms([message.timestamp()[1] for message in messages], time.time_ns() // 1_000_000)
        batch, invalid = self._validate(decoded.events, recorded)
        errors: dict[int, RecordError] = {**decoded.errors, **invalid}
        out += [self._dead_letter(messages[index], error) for index, error in sorted(errors.items())]
        columns = batch.columns()
        rows = zip(*(columns[name] for name in self._fields), strict=True)
        return [
            Incoming(
                message,
                position := _position(message),
                ScoringRequest(dict(zip(self._fields, row, strict=True)), event_ms),
                counted_at(message, position),
            )
            for message, event_ms, row in zip(
                (messages[index] for index in batch.index.tolist()), batch.event_ms.tolist(), rows, strict=True
            )
        ]

    def _wait(self, incoming: Sequence[Incoming]) -> tuple[float, list[bool]]:
        started = time.perf_counter()
        met = self._barrier.wait(
            [Awaited(each.position.partition, each.counted_at, each.request.fields) for each in incoming]
        )
        if missed := met.count(False):
            BARRIER_NOT_MET.labels(self._source.topic).inc(missed)
        return (time.perf_counter() - started) * 1e3, met

    def _score(self, incoming: Sequence[Incoming], met: Sequence[bool], waited_ms: float) -> list[OutgoingRecord]:
        """The records of a batch. The model, an on-demand function, or a damaged row, may fail on some events."""

        def run(part: Sequence[tuple[Incoming, bool]]) -> list[OutgoingRecord]:
            events = [event for event, _ in part]
            scored = self._scorer.score([each.request for each in events], [self._model.name])
            return self._encode(events, [ok for _, ok in part], waited_ms, scored)

        def alone(one: tuple[Incoming, bool], error: Exception) -> OutgoingRecord:
            return self._dead_letter(one[0].message, _refused(error, one[0].position))

        return isolate(list(zip(incoming, met, strict=True)), run, alone)

    def _encode(
        self, incoming: Sequence[Incoming], met: Sequence[bool], waited_ms: float, scored: Scored
    ) -> list[OutgoingRecord]:
        vectors = scored.vectors
        observe_stages(vectors, scored.model_ms, waited_ms)
        timings = Timings(waited_ms, vectors.read_ms, vectors.on_demand_ms, scored.model_ms)
        values = self._scorer.assembler.values(vectors) if self._include_features else None
        outcomes = answers(scored, [each.request for each in incoming], values)
        records = [self._record(*each, timings) for each in zip(incoming, met, outcomes, strict=True)]
        count_predictions(self._model, len(incoming) - len(scored.models[self._model.name].refusals))
        return records

    def _record(self, event: Incoming, met: bool, answer: Answer | RequestError, timings: Timings) -> OutgoingRecord:
        """The prediction of an event, or the dead letter of one that is refused."""
        if isinstance(answer, RequestError):
            return self._dead_letter(event.message, Refused(str(answer)))
        scores = answer.scores[self._model.name]
        if isinstance(scores, RequestError):
            return self._dead_letter(event.message, Refused(str(scores)))
        source = str(event.position)
        prediction = Prediction(
            id=prediction_id(source, self._topic_id, self._model.name, self._model.version),
            source=source,
            source_timestamp_ms=event.message.timestamp()[1],
            model=self._model.name,
            version=self._model.version,
            model_hash=self._model.hash,
            entities=self._pick(self._keys, event.request.fields),
            event_ms=event.request.as_of_ms,
            scores=scores,
            fences=answer.fences,
            complete=answer.complete,
            ahead_ms=answer.ahead_ms,
            whole_from_ms=answer.whole_from_ms or None,
            barrier_met=met,
            timings_ms=timings,
            request=self._pick(self._request, event.request.fields),
            features=answer.values,
            ages_ms=answer.ages_ms,
        )
        headers = prediction_headers(event.message.headers() or (), source, self._model.name, self._model.version)
        return OutgoingRecord(self._output, event.message.key(), _encode(prediction), headers)

    @staticmethod
    def _pick(names: Sequence[str], fields: Mapping[str, Any]) -> dict[str, Any]:
        return {name: fields[name] for name in names}

    def _dead_letter(self, message: Message, error: RecordError) -> OutgoingRecord:
        metrics.DEAD_LETTERS.labels(self._source.topic, error.reason).inc()
        headers = [
            *kept_headers(message.headers() or (), message.timestamp()[1]),
            *dead_letter_headers("score", error, _position(message), time.time_ns() // 1_000_000, self._recipients),
        ]
        return OutgoingRecord(dead_letter_topic(self._source.topic), message.key(), message.value(), headers)


def _refused(error: Exception, position: Position) -> Refused:
    if isinstance(error, ForebayError):
        return Refused(str(error))
    log.error("event not scored", position=str(position), exc_info=error)
    return Refused(f"unexpected: {error!r}; the worker's log has the traceback")


def _position(message: Message) -> Position:
    return Position(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
