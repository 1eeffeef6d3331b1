"""What the batches of one topic are processed with: put together once, passed down, and never changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from forebay.pipelines.adapters.online_store import Store
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import Feed
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.progress import SourceProgress
from forebay.pipelines.feature_processor.walk.rekey import Producer, Rekeyer
from forebay.pipelines.steps.decode.decoder import Decoder, SchemaSource, decoder_for
from forebay.pipelines.steps.expiry import oldest_needed_ms
from forebay.pipelines.steps.transform import Transform, view_transform
from forebay.pipelines.steps.validate import Validator


def wall_clock_ms() -> int:
    """Reads the wall clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, kw_only=True)
class TopicParts:
    """The parts that all partitions of a topic share."""

    feed: Feed
    project: str
    store: Store
    producer: Producer
    incarnation: Incarnation
    """Of the topic that is read."""
    rekeyer: Rekeyer | None
    """None where the topic is routed into no other."""
    decode: Decoder
    validate: Validator
    views: tuple[tuple[StreamView, Transform], ...]
    """The views computed from the topic, each with its transform."""
    source_partitions: int | None
    """How many partitions of the source an entity's events may come from; None where that is not known."""
    now_ms: Callable[[], int]
    """ms since the epoch; no record was written after it."""
    monotonic_s: Callable[[], float]
    """Seconds; for deadlines."""

    def oldest_needed_ms(self, view: StreamView, reached: Mapping[int, SourceProgress]) -> int | None:
        """See `steps.expiry`; None also where it is not known how many partitions the source has."""
        if self.source_partitions is None:
            return None
        return oldest_needed_ms(self.feed.source, view, reached, self.source_partitions)


def topic_parts(
    feed: Feed,
    project: str,
    store: Store,
    producer: Producer,
    incarnation: Incarnation,
    *,
    rekeyer: Rekeyer | None = None,
    schemas: SchemaSource | None = None,
    source_partitions: int | None = None,
    now_ms: Callable[[], int] = wall_clock_ms,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> TopicParts:
    """Makes the parts that follow from the feed, and puts them beside those that are given.

    Args:
        schemas: of the topic's events, where they name them by an id.
        source_partitions: of the topic that a routed one is routed from; None: not known.

    Raises:
        SettingsError: the events name their schemas by an id, and `schemas` is not there.
        PlanError: a view's function can't be loaded.
    """
    entities = [view.join_keys for view in feed.views] + [route.join_keys for route in feed.routes]
    return TopicParts(
        feed=feed,
        project=project,
        store=store,
        producer=producer,
        incarnation=incarnation,
        rekeyer=rekeyer,
        decode=decoder_for(feed.source, schemas),
        validate=Validator(feed.source, {key.name for keys in entities for key in keys}),
        views=tuple((view, view_transform(view)) for view in feed.views),
        source_partitions=source_partitions if feed.routed else 1,
        now_ms=now_ms,
        monotonic_s=monotonic_s,
    )
