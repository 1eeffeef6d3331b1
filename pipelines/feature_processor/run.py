"""Runs the feature processor until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from contextlib import ExitStack

import structlog
from aiokafka.errors import KafkaError

from pipelines.adapters.kafka import IdempotentProducer, Topics, group_name
from pipelines.adapters.last_resort import leave_if_late
from pipelines.adapters.metrics import serve_metrics
from pipelines.adapters.redis_store import RedisStore
from pipelines.adapters.schema_registry import schemas_of
from pipelines.contract.plan import Plan
from pipelines.contract.topology import Feed, feeds
from pipelines.errors import ForebayError, SettingsError
from pipelines.feature_processor.app import ProcessorApp
from pipelines.feature_processor.partition_pipeline import FeedPipeline
from pipelines.feature_processor.router import Router
from pipelines.feature_processor.settings import ProcessorSettings

log = structlog.get_logger("forebay.process")

COLLECT_AFTER = (100_000, 20, 100)
"""A batch makes tens of thousands of objects, none of them in a cycle: at Python's own thresholds the garbage
collector looks at every cached row again and again, for a fifth of the processor's time with 500,000 entities."""

START_AGAIN_S = 1.0


class BrokersWentAway(ForebayError):
    """The app could not start, or go on, for a reason that passes: it can be started again."""


def build_pipelines(plan: Plan, settings: ProcessorSettings) -> list[FeedPipeline]:
    """One pipeline per topic; a connection and a producer each, since topics are processed side by side.

    Raises:
        SettingsError: a topic does not exist, or its events need a schema registry that is not named.
    """
    topics = Topics(settings.brokers)
    return [_build(plan, feed, topics, settings) for feed in feeds(plan)]


def _build(plan: Plan, feed: Feed, topics: Topics, settings: ProcessorSettings) -> FeedPipeline:
    producer = IdempotentProducer(settings.brokers)
    router = None
    lineage = topics.lineage(feed.topic)
    if feed.routed:
        lineage = lineage.routed_from(topics.lineage(feed.source.topic))
    if feed.routes:
        lives = {route.topic: topics.lineage(route.topic).routed_from(lineage) for route in feed.routes}
        router = Router(feed.routes, lives, producer)
    schemas = schemas_of(feed.source, settings.schema_registry)
    return FeedPipeline(feed, plan.project, RedisStore(settings.redis), producer, lineage, router, schemas)


def run(plan: Plan, settings: ProcessorSettings) -> None:
    """Processes until SIGINT or SIGTERM.

    Raises:
        SettingsError: nothing to process, or a topic is missing.
        ProgressMismatch: the topics are not those that progress was made on.
    """
    gc.set_threshold(*COLLECT_AFTER)
    pipelines = build_pipelines(plan, settings)
    if not pipelines:
        raise SettingsError(f"project {plan.project!r} has no online stream feature view: nothing to process")
    if settings.metrics_port:
        serve_metrics(settings.metrics_host, settings.metrics_port)
    log.info("processing", topics=[pipeline.feed.topic for pipeline in pipelines])
    while True:
        try:
            with ExitStack() as ended:
                # Faust decides that a service belongs to the loop it is made in.
                asyncio.run(_run_until_stopped(plan, pipelines, settings, ended))
            return
        except BrokersWentAway as error:
            log.warning("starting again", error=str(error))
            time.sleep(START_AGAIN_S)


async def _run_until_stopped(
    plan: Plan, pipelines: list[FeedPipeline], settings: ProcessorSettings, ended: ExitStack
) -> None:
    app = ProcessorApp(pipelines, group_name(plan.project, "process"), settings)
    app.finalize()
    told_to_stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
    running = asyncio.ensure_future(_start_and_wait(app))
    asked = asyncio.ensure_future(told_to_stop.wait())
    await asyncio.wait((running, asked), return_when=asyncio.FIRST_COMPLETED)
    crash = app.failure or app.crash_reason
    if crash is None and running.done():
        crash = running.exception()
    last_resort = leave_if_late(3, repr(crash)) if crash else leave_if_late()
    ended.callback(last_resort.cancel)
    await app.stop()
    if isinstance(crash, ForebayError):
        raise crash
    if isinstance(crash, KafkaError) and crash.retriable:
        raise BrokersWentAway(f"the brokers went away: {crash!r}") from crash
    if crash is not None:
        raise ForebayError(
            f"the feature processor crashed: {crash!r}; started again it goes on from its progress"
        ) from crash


async def _start_and_wait(app: ProcessorApp) -> None:
    await app.start()
    await app.wait_until_stopped()
