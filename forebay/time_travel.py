"""A whole project without broker or store, for tests of your own definitions: feed events, move time, ask features.

Everything but the transport is what runs in production: decoding, routing, windows, rows, policies, on-demand
functions. Time passes only as you say: this machine's clock decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import mmh3
import msgspec

from forebay.history.encode import Encode, encoder
from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.record import Record
from forebay.pipelines.contract.kafka.topics import Feed, feeds
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import BatchView
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, feature_field, timestamp_field
from forebay.pipelines.contract.store.values import encode_timestamp, encode_value
from forebay.pipelines.errors import DecodeError, ForebayError, RequestError, SettingsError
from forebay.pipelines.feature_processor.walk.parts import topic_parts
from forebay.pipelines.feature_processor.walk.rekey import Rekeyer
from forebay.pipelines.feature_processor.walk.topic_batch import TopicBatches
from forebay.pipelines.steps.decode.event_type import attribute
from forebay.pipelines.steps.decode.framing import frame
from forebay.pipelines.steps.event_time import LATEST_MS, to_event_ms
from forebay.serving.features.assemble import FeatureAssembler
from forebay.serving.features.read import FeatureReader, stored_views
from forebay.serving.features.request import RequestChecker, ScoringRequest

DECLARED_SCHEMA_ID = 1
"""Of framed Avro: the id under which a source's own schema is known here."""


class DeadLettersFound(ForebayError):
    """Events that were fed became dead letters."""


class Refused(NamedTuple):
    """An event that came into no view: a dead letter, or too late."""

    topic: str
    """`<topic>.dlq` or `<topic>.late`."""
    payload: bytes | None
    reason: str
    error: str
    """Empty for late events."""


class TimeTravel:
    """The features of a plan after the events you feed, as of the times you ask for. Not thread-safe."""

    def __init__(self, plan: Plan, partitions: int = 2, *, collect_dead_letters: bool = False) -> None:
        """Args:
            partitions: of every topic.
            collect_dead_letters: whether `feed` leaves dead letters to be looked at in `refused`; else it raises.

        Raises:
            PlanError: a function of the plan can't be loaded.
        """
        self._plan = plan
        self._partitions = partitions
        self._collects = collect_dead_letters
        self._encoders: dict[str, Encode] = {}
        self._store = MemoryStore()
        self._log = _MemoryLog(partitions)
        self._topics = {feed.topic: self._topic(feed) for feed in feeds(plan)}
        self._done = {(topic, each): 0 for topic in self._topics for each in range(partitions)}
        self._assemblers: dict[str, FeatureAssembler] = {}

    def _topic(self, feed: Feed) -> TopicBatches:
        source = self._incarnation(feed.source.topic)
        incarnations = {route.topic: self._incarnation(route.topic).routed_from(source) for route in feed.routes}
        rekeyer = Rekeyer(feed.routes, incarnations, self._log)
        incarnation = self._incarnation(feed.topic).routed_from(source) if feed.routed else source
        parts = topic_parts(
            feed,
            self._plan.project,
            self._store,
            self._log,
            incarnation,
            rekeyer=rekeyer if feed.routes else None,
            schemas=_DeclaredSchema(feed.source),
            # Records without a timestamp, never read too early: an event is written down at its own time.
            now_ms=lambda: LATEST_MS,
        )
        topic = TopicBatches(parts)
        topic.assign(dict.fromkeys(range(self._partitions), 0))
        topic.begin()
        return topic

    def _incarnation(self, topic: str) -> Incarnation:
        return Incarnation(topic, "memory", self._partitions)

    def feed(self, topic: str, *events: Mapping[str, Any] | bytes) -> None:
        """Publishes events on a topic, and processes them completely.

        Args:
            events: their fields, encoded in the format that the source declares (a time is a `datetime` with its zone,
                or ms since the epoch), or the bytes of a record as they are. Framed Avro has the source's own schema,
                under the id `DECLARED_SCHEMA_ID`.

        Raises:
            SettingsError: no view is computed from this topic, or an event can't be encoded in its format.
            DeadLettersFound: some became dead letters, which are not collected; the others are processed.
        """
        source = next((each for each in self._plan.sources if each.topic == topic), None)
        if source is None or topic not in self._topics:
            known = ", ".join(source.topic for source in self._plan.sources)
            raise SettingsError(f"no online view is computed from topic {topic!r}; the plan knows {known}")
        payloads = [
            (each, self._key(source, each)) if isinstance(each, bytes) else self._encoded(source, each)
            for each in events
        ]
        before = {name: len(found) for name, found in self._dead_letters().items()}
        for payload, key in payloads:
            self._log.produce(topic, payload, key)
        for each in self._topics:
            self._process(each)
        new = [each for name, found in self._dead_letters().items() for each in found[before.get(name, 0) :]]
        if new and not self._collects:
            raise DeadLettersFound(
                f"topic {topic!r}: {len(new)} of {len(events)} events became dead letters, the first one "
                f"({new[0].reason}): {new[0].error}; correct it, or pass collect_dead_letters=True and look at "
                "`refused`"
            )

    def _encoded(self, source: Source, event: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """Encodes an event: payload and key."""
        if source.topic not in self._encoders:
            self._encoders[source.topic] = _offline_encoder(source)
        key = msgspec.json.encode([event.get(name) for name in source.key])
        return self._encoders[source.topic](event), key

    def _dead_letters(self) -> dict[str, list[Refused]]:
        """Collects all dead letters so far, by topic."""
        return {topic: self._refused(topic) for topic in self._log.refusals() if topic.endswith(".dlq")}

    def _key(self, source: Source, payload: bytes) -> bytes | None:
        """Makes the key that a producer would give a record; None where the payload does not say."""
        event = self._topics[source.topic].parts.decode([payload]).events[0]
        return None if event is None else msgspec.json.encode([getattr(event, attribute(name)) for name in source.key])

    def _process(self, topic: str) -> None:
        for partition in range(self._partitions):
            records = self._log.records(topic, partition)[self._done[topic, partition] :]
            if records:
                self._topics[topic].process({partition: records})
                self._done[topic, partition] += len(records)

    def materialize(self, view: str, at: datetime | int, *rows: Mapping[str, Any]) -> None:
        """Puts rows of a batch view into the store, as `feast materialize` does.

        Args:
            at: the rows' time.
            rows: join keys and features by name.

        Raises:
            SettingsError: the plan has no such batch view.
        """
        definition = next((each for each in self._plan.batch_views if each.name == view), None)
        if definition is None:
            known = ", ".join(each.name for each in self._plan.batch_views) or "none"
            raise SettingsError(f"no batch view named {view!r} in the plan; it has: {known}")
        for row in rows:
            self._put(definition, row, _ms(at))

    def _put(self, view: BatchView, row: Mapping[str, Any], event_ms: int) -> None:
        key = EntityKeyEncoder(view.join_keys, self._plan.project)([row[key.name] for key in view.join_keys])
        fields = {
            feature_field(view.name, feature.name): encode_value(row.get(feature.name), feature.dtype)
            for feature in view.features
        }
        self._store.write_hash(key, fields | {timestamp_field(view.name): encode_timestamp(event_ms)})

    def features(self, service: str, as_of: datetime | int, **fields: Any) -> dict[str, Any]:
        """Computes the features of a service by full name, None for null.

        Args:
            as_of: a time with its zone, or ms since the epoch.
            fields: join keys and request fields of the service.

        Raises:
            KeyError: the plan has no such service.
            RequestError: a field is missing, unknown or of the wrong type, or an on-demand function fails.
            FeatureRefused: a feature is missing or stale, and its policy is to refuse.
        """
        if service not in self._assemblers:
            definition = self._plan.service(service)
            reader = FeatureReader(self._plan, stored_views(self._plan, definition), self._store)
            self._assemblers[service] = FeatureAssembler(self._plan, definition, reader)
        assembler = self._assemblers[service]
        RequestChecker(assembler.service)(fields, "$")
        vectors = assembler.assemble([ScoringRequest(fields, _ms(as_of))])
        if vectors.refusals:
            raise vectors.refusals[0]
        return {name: values[0] for name, values in assembler.values(vectors).items()}

    @property
    def refused(self) -> list[Refused]:
        """Every dead letter and every late event so far, by topic, in order."""
        return [each for topic in self._log.refusals() for each in self._refused(topic)]

    def _refused(self, topic: str) -> list[Refused]:
        return [
            Refused(topic, record.value, headers.get("forebay-reason", ""), headers.get("forebay-error", ""))
            for record in self._log.records(topic, 0)
            for headers in [{name: (value or b"").decode(errors="replace") for name, value in record.headers}]
        ]


class _DeclaredSchema:
    """A schema registry that knows a source's own schema and no other. Implements `SchemaSource`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def schema(self, schema_id: int) -> str:
        """See `SchemaSource.schema`."""
        if schema_id != DECLARED_SCHEMA_ID:
            raise DecodeError(f"schema {schema_id} is unknown here: frame with id {DECLARED_SCHEMA_ID}")
        return self._source.schema.decode()


def _offline_encoder(source: Source) -> Encode:
    """Makes an encoder of events that asks no schema registry: absent fields are null, or Avro's default."""
    framed_avro = source.format == "avro" and source.framing == "confluent"
    encode = encoder(msgspec.structs.replace(source, framing="none") if framed_avro else source, "")
    times = [column.name for column in source.columns if column.dtype is DataType.UNIX_TIMESTAMP]
    absent = dict.fromkeys(
        {*times, source.timestamp_field} if source.format == "avro" else [column.name for column in source.columns]
    )

    def encode_event(event: Mapping[str, Any]) -> bytes:
        in_ms = {name: _ms(event[name]) for name in times if isinstance(event.get(name), datetime)}
        payload = encode({**absent, **event, **in_ms})
        return frame(DECLARED_SCHEMA_ID, payload) if framed_avro else payload

    return encode_event


class _MemoryLog:
    """Topics in memory: a producer, and what it produced."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._topics: dict[str, list[list[Record]]] = {}

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int = -1,
        timestamp_ms: int = -1,
    ) -> None:
        """See `Producer.produce`; refused records all go to partition 0."""
        if partition < 0:
            partition = 0 if _holds_refused(topic) or key is None else mmh3.hash(key, signed=False) % self._partitions
        log = self._topics.setdefault(topic, [[] for _ in range(self._partitions)])[partition]
        log.append(Record(len(log), key, value, list(headers), timestamp_ms))

    def flush(self) -> None:
        """Does nothing: records are there at once."""

    def records(self, topic: str, partition: int) -> list[Record]:
        """Returns all records of a partition."""
        return self._topics[topic][partition] if topic in self._topics else []

    def refusals(self) -> list[str]:
        """Topics of dead letters and late events."""
        return sorted(topic for topic in self._topics if _holds_refused(topic))


def _holds_refused(topic: str) -> bool:
    return topic.endswith((".dlq", ".late"))


def _ms(time: datetime | int) -> int:
    if isinstance(time, datetime) and time.tzinfo is None:
        raise RequestError("$.as_of", "a time without a zone: give it one, e.g. tzinfo=UTC")
    return to_event_ms(time)
