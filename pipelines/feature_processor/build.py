"""Builds what processes the topics of a plan, from settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from forebay.pipelines.adapters.kafka.admin import Topics
from forebay.pipelines.adapters.kafka.producer import IdempotentProducer
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.adapters.schema_registry import schemas_of
from forebay.pipelines.contract.kafka.topics import Feed, feeds
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.feature_processor.settings import ProcessorSettings
from forebay.pipelines.feature_processor.walk.parts import topic_parts
from forebay.pipelines.feature_processor.walk.rekey import Rekeyer
from forebay.pipelines.feature_processor.walk.topic_batch import TopicBatches


class Share(NamedTuple):
    """What one process computes of a plan."""

    plan: Plan
    routed_elsewhere: Collection[str] = ()
    """Routed topics that another process fills."""
    publishes: bool = True
    """Whether what Feast reads is written too."""
    group: str = ""
    """Name of its consumer group below the project's, where it is not the plan's fingerprint."""


def build_topics(
    share: Share, settings: ProcessorSettings, generation: Callable[[], int] | None = None
) -> list[TopicBatches]:
    """Builds what processes each topic; a connection and a producer each, since topics are processed side by side.

    Args:
        generation: of the plan, where it may grow while its views stay as they are; None: that of the share.

    Raises:
        SettingsError: a topic does not exist, or its events need a schema registry that is not named.
        PlanError: a view's function can't be loaded here.
    """
    topics = Topics(settings.brokers)
    known = generation or (lambda: share.plan.generation)
    return [_build(share, feed, topics, settings, known) for feed in feeds(share.plan, share.routed_elsewhere)]


def close(topics: Sequence[TopicBatches]) -> None:
    """Gives up their connections to the store."""
    for topic in topics:
        topic.parts.store.close()


def _build(
    share: Share, feed: Feed, topics: Topics, settings: ProcessorSettings, generation: Callable[[], int]
) -> TopicBatches:
    source = topics.incarnation(feed.source.topic)  # first, since it raises where the brokers refuse
    producer = IdempotentProducer(settings.brokers)
    incarnations = {route.topic: topics.incarnation(route.topic).routed_from(source) for route in feed.routes}
    parts = topic_parts(
        feed,
        share.plan.project,
        RedisStore(settings.redis),
        producer,
        topics.incarnation(feed.topic).routed_from(source) if feed.routed else source,
        rekeyer=Rekeyer(feed.routes, incarnations, producer) if feed.routes else None,
        schemas=schemas_of(feed.source, settings.schema_registry),
        source_partitions=source.partitions,
    )
    return TopicBatches(parts, publishes=share.publishes, dead_letters=settings.dead_letters, generation=generation)
