"""The Kafka door, without the Kafka: every event of the scored topic becomes a prediction, unscored, or a dead letter.

Models in the shadow add records of their own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain

import structlog
from confluent_kafka import Message

from forebay.pipelines.adapters import metrics
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.prediction import Timings
from forebay.pipelines.contract.kafka.recipients import Recipients
from forebay.pipelines.contract.kafka.record import dead_letter_headers, kept_headers, recorded_ms
from forebay.pipelines.contract.kafka.topics import dead_letter_topic
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.errors import FeatureRefused, ForebayError, RecordError, RequestError
from forebay.pipelines.process.watchdog import step
from forebay.pipelines.steps.dead_letter_limit import GivenUp
from forebay.pipelines.steps.decode.decoder import SchemaSource, decoder_for
from forebay.pipelines.steps.validate import Validator
from forebay.serving.features.isolate import isolate
from forebay.serving.features.request import ScoringRequest, check_asks
from forebay.serving.observe.metrics import BARRIER_NOT_MET, count_predictions, observe_stages
from forebay.serving.scoring.answers import full_answers
from forebay.serving.scoring.scorer import RequestScorer, Scored
from forebay.serving.worker.addressed import counted_at, for_model
from forebay.serving.worker.barrier import Awaited, Barrier
from forebay.serving.worker.outcome import Incoming, OutcomeRecords, Seen
from forebay.serving.worker.outgoing import OutgoingRecord

log = structlog.get_logger("forebay.score")


class Refused(RecordError):
    """The model or an on-demand function fails on the event."""

    reason = "refused"


class EventScorer:
    """Turns a batch of records of the scored topic into the records of its outcomes. Does no Kafka I/O."""

    def __init__(
        self,
        scorer: RequestScorer,
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
        self._recipients = Recipients(scorer.project, model=scorer.deployment.name)
        self._source = source
        self._barrier = barrier
        self._include_features = include_features
        self._outcomes = OutcomeRecords(scorer, topic_id, output, include_features)
        self._decode = decoder_for(source, schemas)
        self._validate = Validator(source, (key.name for key in scorer.service.join_keys))
        service = scorer.service
        asked = [*(key.name for key in service.join_keys), *(column.name for column in service.request)]
        check_asks(source, service)
        columns = [column.name for column in source.columns]
        self._fields = list(dict.fromkeys([*asked, *columns]))

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

        def run(part: Sequence[tuple[Incoming, bool]]) -> list[list[OutgoingRecord]]:
            events = [event for event, _ in part]
            scored = self._scorer.score([each.request for each in events], shadows=True)
            return self._records(events, [ok for _, ok in part], waited_ms, scored)

        def alone(one: tuple[Incoming, bool], error: Exception) -> list[OutgoingRecord]:
            return [self._dead_letter(one[0].message, _refused(error, one[0].position))]

        return list(chain.from_iterable(isolate(list(zip(incoming, met, strict=True)), run, alone)))

    def _records(
        self, incoming: Sequence[Incoming], met: Sequence[bool], waited_ms: float, scored: Scored
    ) -> list[list[OutgoingRecord]]:
        """The records of each event."""
        vectors = scored.vectors
        observe_stages(vectors, scored.model_ms, waited_ms)
        for name, found in scored.models.items():
            count_predictions(self._scorer.models[name], found.scored)
        timings = Timings(waited_ms, vectors.read_ms, vectors.on_demand_ms, scored.model_ms)
        values = self._scorer.assembler.values(vectors) if self._shows_features(scored) else None
        found_answers = full_answers(scored, [each.request for each in incoming], values)
        return [
            self._of_event(Seen(event, ok, answer, timings), vectors.refusals.get(at))
            for at, (event, ok, answer) in enumerate(zip(incoming, met, found_answers, strict=True))
        ]

    def _shows_features(self, scored: Scored) -> bool:
        return self._include_features or any(each.refusals for each in scored.models.values())

    def _of_event(self, seen: Seen, refusal: RequestError | None) -> list[OutgoingRecord]:
        if refusal is not None and not isinstance(refusal, FeatureRefused):
            return [self._dead_letter(seen.event.message, Refused(str(refusal)))]
        return self._outcomes(seen)

    def _dead_letter(self, message: Message, error: RecordError) -> OutgoingRecord:
        metrics.DEAD_LETTERS.labels(self._source.topic, error.reason).inc()
        position = _position(message)
        headers = [
            *kept_headers(message.headers() or (), message.timestamp()[1]),
            *dead_letter_headers("score", error, position, time.time_ns() // 1_000_000, self._recipients),
        ]
        given_up = GivenUp(position, error.reason, str(error))
        return OutgoingRecord(dead_letter_topic(self._source.topic), message.key(), message.value(), headers, given_up)


def _refused(error: Exception, position: Position) -> Refused:
    if isinstance(error, ForebayError):
        return Refused(str(error))
    log.error("event not scored", position=str(position), exc_info=error)
    return Refused(f"unexpected: {error!r}; the worker's log has the traceback")


def _position(message: Message) -> Position:
    return Position(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
