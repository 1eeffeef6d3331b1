"""Runs the feature processor until it is told to stop."""

from __future__ import annotations

import faust
import structlog

from pipelines.adapters.kafka import IdempotentProducer, Topics, group_name
from pipelines.adapters.metrics import serve_metrics
from pipelines.adapters.redis_store import RedisStore
from pipelines.contract.plan import Plan
from pipelines.contract.topology import Feed, feeds
from pipelines.errors import SettingsError
from pipelines.feature_processor.app import ProcessorApp
from pipelines.feature_processor.partition_pipeline import FeedPipeline
from pipelines.feature_processor.router import Router
from pipelines.feature_processor.settings import ProcessorSettings

log = structlog.get_logger("forebay.process")


def build_pipelines(plan: Plan, settings: ProcessorSettings) -> list[FeedPipeline]:
    """One pipeline per topic; a connection and a producer each, since topics are processed side by side.

    Raises:
        SettingsError: a topic does not exist or the brokers do not answer.
    """
    topics = Topics(settings.brokers)
    return [_build(plan, feed, topics, settings) for feed in feeds(plan)]


def _build(plan: Plan, feed: Feed, topics: Topics, settings: ProcessorSettings) -> FeedPipeline:
    producer = IdempotentProducer(settings.brokers)
    router = None
    if feed.routes:
        partitions = {route.topic: topics.lineage(route.topic).partitions for route in feed.routes}
        router = Router(feed.routes, partitions, producer)
    lineage = topics.lineage(feed.topic)
    return FeedPipeline(feed, plan.project, RedisStore(settings.redis), producer, lineage, router)


def run(plan: Plan, settings: ProcessorSettings) -> None:
    """Processes until SIGINT or SIGTERM.

    Raises:
        SettingsError: nothing to process, or a topic is missing.
        ProgressMismatch: the topics are not those that progress was made on.
    """
    pipelines = build_pipelines(plan, settings)
    if not pipelines:
        raise SettingsError(f"project {plan.project!r} has no online stream feature view: nothing to process")
    if settings.metrics_port:
        serve_metrics(settings.metrics_host, settings.metrics_port)
    app = ProcessorApp(pipelines, group_name(plan.project, "process"), settings)
    log.info("processing", topics=[pipeline.feed.topic for pipeline in pipelines])
    worker = faust.Worker(app, loglevel="WARNING", redirect_stdouts=False, override_logging=False, quiet=True)
    try:
        worker.execute_from_commandline()
    except SystemExit:
        if app.failure is not None:
            raise app.failure from None
        raise
