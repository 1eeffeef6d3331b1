"""Puts a scorer and a worker together from a plan, a model folder and settings."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from pipelines.adapters.clock import WatermarkClock
from pipelines.adapters.kafka import Topics
from pipelines.adapters.kafka_connection import Brokers
from pipelines.adapters.progress_reader import ProgressReader, ViewTopic
from pipelines.adapters.redis_store import RedisStore
from pipelines.adapters.schema_registry import schemas_of
from pipelines.contract.fence import Lineage
from pipelines.contract.plan import Plan, Source, StreamView
from pipelines.contract.topology import view_topic
from pipelines.errors import PlanError, StoreUnavailable
from pipelines.process.watchdog import LONG, step
from serving.barrier import Barrier
from serving.event_scorer import EventScorer
from serving.model import load_model
from serving.scorer import Scorer
from serving.settings import ScoringSettings

log = structlog.get_logger("forebay.build")

RETRY_SECONDS = 1.0

T = TypeVar("T")


def build_scorer(plan: Plan, model: Path, redis: str) -> Scorer:
    """A warm scorer with its own connection. Waits for a store that is not there yet.

    Raises:
        ModelError, PlanError: the model can't be used with this plan.
    """
    step("loading the model", LONG)
    scorer = Scorer(plan, load_model(model), RedisStore(redis))
    wait_for_store(scorer.warm_up)
    return scorer


def wait_for_store(ask: Callable[[], T]) -> T:
    """What `ask` returns, once the store can be reached."""
    while True:
        step("trying the model", LONG)
        try:
            return ask()
        except StoreUnavailable as error:
            log.warning("waiting for the store", error=str(error))
            time.sleep(RETRY_SECONDS)


def scored_source(plan: Plan, topic: str) -> Source:
    """The source of the topic to score.

    Raises:
        PlanError: no source has this topic.
    """
    for source in plan.sources:
        if source.topic == topic:
            return source
    known = ", ".join(source.topic for source in plan.sources)
    raise PlanError(f"no Kafka source has topic {topic!r}; the registry knows {known}")


def online_views(plan: Plan, topics: Topics) -> list[ViewTopic]:
    """Every online stream view with its topic."""
    found = [(view, view_topic(plan, view)) for view in plan.stream_views if view.online]
    asked = {topic for _, topic in found} | {plan.source(view.source).topic for view, _ in found}
    present = {topic: topics.lineage(topic) for topic in asked}

    def incarnation(view: StreamView, topic: str) -> Lineage:
        source = plan.source(view.source).topic
        return present[topic] if topic == source else present[topic].routed_from(present[source])

    return [ViewTopic(view, topic, incarnation(view, topic)) for view, topic in found]


def watermark_clock(plan: Plan, brokers: Brokers, redis: str) -> WatermarkClock:
    """A clock that shows the highest event time which the plan's online views contain.

    Raises:
        SettingsError: a topic does not exist.
    """
    views = online_views(plan, Topics(brokers))
    return WatermarkClock(ProgressReader(plan.project, views, RedisStore(redis)))


def build_event_scorer(plan: Plan, scorer: Scorer, settings: ScoringSettings) -> EventScorer:
    """An event scorer whose barrier watches the views that the model's service reads from the scored topic.

    Raises:
        PlanError: the topic can't be scored with this service.
        SettingsError: a topic does not exist, or its events need a schema registry that is not named.
    """
    source = scored_source(plan, settings.topic)
    topics = Topics(settings.brokers)
    read = {view.view for view in (*scorer.service.views, *scorer.service.dependencies)}
    views = [each for each in online_views(plan, topics) if each.view.source == source.name and each.view.name in read]
    reader = ProgressReader(plan.project, views, RedisStore(settings.redis))
    barrier = Barrier(source, views, reader, settings.feature_wait_ms)
    return EventScorer(
        scorer,
        source,
        barrier,
        settings.output,
        settings.include_features,
        schemas_of(source, settings.schema_registry),
        topic_id=topics.lineage(settings.topic).topic_id,
    )
