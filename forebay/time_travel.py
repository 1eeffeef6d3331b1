"""A whole project without broker or store, for tests of your own definitions: feed events, move time, ask features.

Everything but the transport is what runs in production: decoding, routing, windows, rows, policies, on-demand
functions. Time passes only as you say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import mmh3
import msgspec

from pipelines.adapters.memory_store import MemoryStore
from pipelines.contract.entity_key import EntityKeyEncoder, feature_field, timestamp_field
from pipelines.contract.fence import Lineage
from pipelines.contract.plan import BatchView, Plan, Source
from pipelines.contract.records import Record
from pipelines.contract.topology import Feed, feeds
from pipelines.contract.values import encode_timestamp, encode_value
from pipelines.errors import RequestError, SettingsError
from pipelines.feature_processor.feed_pipeline import FeedPipeline
from pipelines.feature_processor.router import Router
from pipelines.steps.decoded import attribute
from serving.feature_reader import FeatureReader, stored_views
from serving.request import RequestChecker, ScoringRequest
from serving.scorer import FeatureAssembler


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

    def __init__(self, plan: Plan, partitions: int = 2) -> None:
        """Args:
        partitions: of every topic.

        Raises:
            PlanError: a function of the plan can't be loaded.
        """
        self._plan = plan
        self._partitions = partitions
        self._store = MemoryStore()
        self._log = _MemoryLog(partitions)
        self._pipelines = {feed.topic: self._pipeline(feed) for feed in feeds(plan)}
        self._done = {(topic, each): 0 for topic in self._pipelines for each in range(partitions)}
        self._assemblers: dict[str, FeatureAssembler] = {}

    def _pipeline(self, feed: Feed) -> FeedPipeline:
        source = self._life(feed.source.topic)
        lives = {route.topic: self._life(route.topic).routed_from(source) for route in feed.routes}
        router = Router(feed.routes, lives, self._log)
        lineage = self._life(feed.topic).routed_from(source) if feed.routed else source
        pipeline = FeedPipeline(
            feed, self._plan.project, self._store, self._log, lineage, router if feed.routes else None
        )
        pipeline.assign(dict.fromkeys(range(self._partitions), 0))
        pipeline.begin()
        return pipeline

    def _life(self, topic: str) -> Lineage:
        return Lineage(topic, "memory", self._partitions)

    def feed(self, topic: str, *events: Mapping[str, Any] | bytes) -> None:
        """Publishes events on a topic, and processes them completely.

        Args:
            events: their fields (a `datetime` is written as RFC 3339), or the bytes of a record as they are.

        Raises:
            SettingsError: no view is computed from this topic.
        """
        source = next((each for each in self._plan.sources if each.topic == topic), None)
        if source is None or topic not in self._pipelines:
            known = ", ".join(source.topic for source in self._plan.sources)
            raise SettingsError(f"no online view is computed from topic {topic!r}; the plan knows {known}")
        for event in events:
            if isinstance(event, bytes):
                self._log.produce(topic, event, self._key(source, event))
            else:
                key = msgspec.json.encode([event.get(name) for name in source.key])
                self._log.produce(topic, msgspec.json.encode(dict(event)), key)
        for each in self._pipelines:
            self._process(each)

    def _key(self, source: Source, payload: bytes) -> bytes | None:
        """The key that a producer would give a record; None where the payload does not say."""
        event = self._pipelines[source.topic].decode([payload]).events[0]
        return None if event is None else msgspec.json.encode([getattr(event, attribute(name)) for name in source.key])

    def _process(self, topic: str) -> None:
        for partition in range(self._partitions):
            records = self._log.records(topic, partition)[self._done[topic, partition] :]
            if records:
                self._pipelines[topic].partitions[partition].process(records)
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
        """The features of a service by full name, None for null.

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
        return [
            Refused(topic, record.value, headers.get("forebay-reason", ""), headers.get("forebay-error", ""))
            for topic in self._log.refusals()
            for record in self._log.records(topic, 0)
            for headers in [{name: (value or b"").decode(errors="replace") for name, value in record.headers}]
        ]


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
        """Everything is there at once."""

    def records(self, topic: str, partition: int) -> list[Record]:
        """All records of a partition."""
        return self._topics[topic][partition] if topic in self._topics else []

    def refusals(self) -> list[str]:
        """Topics of dead letters and late events."""
        return sorted(topic for topic in self._topics if _holds_refused(topic))


def _holds_refused(topic: str) -> bool:
    return topic.endswith((".dlq", ".late"))


def _ms(time: datetime | int) -> int:
    if isinstance(time, int):
        return time
    if time.tzinfo is None:
        raise RequestError("$.as_of", "a time without a zone: give it one, e.g. tzinfo=UTC")
    return int(time.timestamp() * 1_000)
