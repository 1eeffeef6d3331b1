"""Puts a scorer and a worker together from a plan, a model folder and settings."""

from __future__ import annotations

from forebay.pipelines.adapters.clock import WatermarkClock
from forebay.pipelines.adapters.kafka.admin import Topics
from forebay.pipelines.adapters.kafka.connection import Brokers
from forebay.pipelines.adapters.progress_reader import ProgressReader, ViewTopic
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.adapters.schema_registry import schemas_of
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import shadow_topic, unscored_topic, view_topic
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.errors import PlanError, SettingsError
from forebay.serving.scoring.scorer import RequestScorer
from forebay.serving.worker.barrier import Barrier
from forebay.serving.worker.events import EventScorer
from forebay.serving.worker.settings import ScoringSettings


def scored_source(plan: Plan, topic: str) -> Source:
    """Returns the source of the topic to score.

    Raises:
        PlanError: no source has this topic.
    """
    for source in plan.sources:
        if source.topic == topic:
            return source
    known = ", ".join(source.topic for source in plan.sources)
    raise PlanError(f"no Kafka source has topic {topic!r}; the registry knows {known}")


def online_views(plan: Plan, topics: Topics) -> list[ViewTopic]:
    """Returns every online stream view with its topic."""
    found = [(view, view_topic(plan, view)) for view in plan.stream_views if view.online]
    asked = {topic for _, topic in found} | {plan.source(view.source).topic for view, _ in found}
    present = {topic: topics.incarnation(topic) for topic in asked}

    def incarnation(view: StreamView, topic: str) -> Incarnation:
        source = plan.source(view.source).topic
        return present[topic] if topic == source else present[topic].routed_from(present[source])

    return [ViewTopic(view, topic, incarnation(view, topic)) for view, topic in found]


def watermark_clock(plan: Plan, brokers: Brokers, redis: str) -> WatermarkClock:
    """Returns a clock that shows the highest event time which the plan's online views contain.

    Raises:
        SettingsError: a topic does not exist.
    """
    views = online_views(plan, Topics(brokers))
    return WatermarkClock(ProgressReader(plan.project, views, RedisStore(redis)))


def _check_shadow_topics(topics: Topics, output: str) -> None:
    """Raises `SettingsError` where what shadows say can't be written: every transaction would be aborted."""
    recorded = shadow_topic(output)
    for topic in (recorded, unscored_topic(recorded)):
        try:
            topics.incarnation(topic)
        except SettingsError as error:
            raise SettingsError(
                f"models in the shadow write to {topic!r}: {error}; `forebay topics --output {output}` creates it"
            ) from error


def build_event_scorer(plan: Plan, scorer: RequestScorer, settings: ScoringSettings) -> EventScorer:
    """Returns an event scorer whose barrier watches the views that the model's service reads from the scored topic.

    Raises:
        PlanError: the topic can't be scored with this service.
        SettingsError: a topic does not exist, or its events need a schema registry that is not named.
    """
    source = scored_source(plan, settings.topic)
    topics = Topics(settings.brokers)
    if scorer.deployment.shadows:
        _check_shadow_topics(topics, settings.output)
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
        topic_id=topics.incarnation(settings.topic).topic_id,
    )
