"""`forebay score`."""

from __future__ import annotations

import enum
import signal
from typing import Annotated

import typer

from forebay.cli.options import (
    DEFAULT_PLAN,
    BrokersOption,
    HangAfter,
    IncludeFeatures,
    KafkaPropertiesOption,
    MaxBatchRecords,
    MaxDeadLetters,
    MaxDeadLetterShare,
    MetricsHost,
    MetricsPort,
    ModelOption,
    PlanOption,
    RedisOption,
    SchemaRegistryOption,
    SessionTimeout,
    kafka_of,
    read,
    redis_of,
)
from forebay.pipelines.process.shutdown import STOP_TIMEOUT_S
from forebay.pipelines.process.watchdog import HANG_AFTER_S


class Protocol(enum.StrEnum):
    """Group protocol of workers."""

    CLASSIC = "classic"
    CONSUMER = "consumer"


class Delivery(enum.StrEnum):
    """Delivery guarantee of predictions."""

    EXACTLY_ONCE = "exactly_once"
    AT_LEAST_ONCE = "at_least_once"


def score(
    model: ModelOption,
    topic: Annotated[str, typer.Option(help="Topic to score.")],
    output: Annotated[str, typer.Option(help="Prediction topic.")],
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    kafka_properties: KafkaPropertiesOption = None,
    redis: RedisOption = None,
    schema_registry: SchemaRegistryOption = "",
    delivery: Annotated[Delivery, typer.Option(help="Delivery guarantee of predictions.")] = Delivery.EXACTLY_ONCE,
    feature_wait_ms: Annotated[
        int, typer.Option(min=0, help="Longest wait until the views of an event's topic contain it.")
    ] = 1_000,
    include_features: IncludeFeatures = False,
    group: Annotated[
        str, typer.Option(help="Consumer group; default: one of this project, topic, output and model.")
    ] = "",
    instance: Annotated[str, typer.Option(help="This worker's name in its group; default: random.")] = "",
    static_membership: Annotated[
        bool, typer.Option(help="Keep the partitions of this --instance while it restarts, for --session-timeout-ms.")
    ] = False,
    group_protocol: Annotated[
        Protocol, typer.Option(help="Of the consumer group; consumer: KIP-848, for Apache Kafka 4.0 and newer.")
    ] = Protocol.CLASSIC,
    session_timeout_ms: SessionTimeout = 10_000,
    transaction_timeout_ms: Annotated[
        int, typer.Option(min=1, help="Longest time for which a transaction of a killed worker holds up readers.")
    ] = 10_000,
    max_batch_records: MaxBatchRecords = 500,
    stop_timeout_s: Annotated[
        float, typer.Option(min=0.1, help="Longest time from SIGTERM to the end, while what was read is committed.")
    ] = STOP_TIMEOUT_S,
    metrics_host: MetricsHost = "127.0.0.1",
    metrics_port: MetricsPort = 0,
    hang_after_s: HangAfter = HANG_AFTER_S,
    max_dead_letters: MaxDeadLetters = 1_000,
    max_dead_letter_share: MaxDeadLetterShare = 0.5,
) -> None:
    """Score every event of a topic onto a prediction topic, until a signal stops it."""
    from forebay.pipelines.adapters.metrics import serve_metrics
    from forebay.pipelines.contract.plan.plan import Plan
    from forebay.pipelines.process.every import Every
    from forebay.pipelines.process.shutdown import leave_if_late
    from forebay.pipelines.process.switching import switch_quickly
    from forebay.pipelines.process.watchdog import WATCHDOG
    from forebay.pipelines.steps.dead_letter_limit import Allowance
    from forebay.serving.models.catalog import Catalog
    from forebay.serving.rollout.following import Files, following
    from forebay.serving.rollout.renewed import LOOK_S
    from forebay.serving.scoring.scorer import RequestScorer
    from forebay.serving.worker.build import build_event_scorer
    from forebay.serving.worker.events import EventScorer
    from forebay.serving.worker.loop import Worker
    from forebay.serving.worker.settings import ScoringSettings, WorkerSettings, worker_group

    compiled = read(plan_file)
    addresses, store = kafka_of(compiled, brokers, kafka_properties), redis_of(compiled, redis)
    scoring = ScoringSettings(
        topic=topic,
        output=output,
        brokers=addresses,
        redis=store,
        schema_registry=schema_registry,
        feature_wait_ms=feature_wait_ms,
        include_features=include_features,
    )

    def event_scorer(plan: Plan, scorer: RequestScorer) -> EventScorer:
        return build_event_scorer(plan, scorer, scoring)

    if metrics_port:
        serve_metrics(metrics_host, metrics_port)
    with following(compiled, Files.of(plan_file, model), store, event_scorer) as renewed:
        worker = Worker(
            WorkerSettings(
                brokers=addresses,
                topic=topic,
                group=group or worker_group(compiled.project, topic, output, Catalog(model).name),
                delivery=delivery.value,
                instance=instance,
                max_batch_records=max_batch_records,
                session_timeout_ms=session_timeout_ms,
                static_membership=static_membership,
                group_protocol=group_protocol.value,
                transaction_timeout_ms=transaction_timeout_ms,
                dead_letters=Allowance(max_dead_letters, max_dead_letter_share),
            ),
            lambda messages: renewed.present(messages),
        )

        WATCHDOG.start(hang_after_s)
        switch_quickly()

        def stop(*_signal: object) -> None:
            worker.stop()
            leave_if_late(seconds=stop_timeout_s)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        # Beside the scoring thread: a model that is loaded and warmed holds up no events, and none need come.
        with Every(LOOK_S, renewed.look, "forebay-follow"):
            worker.run()
