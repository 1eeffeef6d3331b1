"""`forebay process`."""

from __future__ import annotations

from typing import Annotated

import typer

from forebay.cli.options import (
    DEFAULT_PLAN,
    BrokersOption,
    HangAfter,
    KafkaPropertiesOption,
    MaxBatchRecords,
    MaxDeadLetters,
    MaxDeadLetterShare,
    MetricsHost,
    MetricsPort,
    PlanOption,
    RedisOption,
    SchemaRegistryOption,
    SessionTimeout,
    kafka_of,
    read,
    redis_of,
)
from forebay.pipelines.process.watchdog import HANG_AFTER_S


def process(
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    kafka_properties: KafkaPropertiesOption = None,
    redis: RedisOption = None,
    schema_registry: SchemaRegistryOption = "",
    metrics_host: MetricsHost = "127.0.0.1",
    metrics_port: MetricsPort = 0,
    session_timeout_ms: SessionTimeout = 10_000,
    max_batch_records: MaxBatchRecords = 100_000,
    ready_records: Annotated[
        int,
        typer.Option(
            min=0, help="Records a view may be behind others of its topic; beyond that, a second process computes it."
        ),
    ] = 10_000,
    hang_after_s: HangAfter = HANG_AFTER_S,
    max_dead_letters: MaxDeadLetters = 1_000,
    max_dead_letter_share: MaxDeadLetterShare = 0.5,
    retire_after_s: Annotated[
        float,
        typer.Option(min=1.0, help="Shortest time for which the state of a replaced definition is kept."),
    ] = 600.0,
) -> None:
    """Compute the stream views' windows from Kafka into Redis, until a signal stops it."""
    from forebay.pipelines.feature_processor.run import run
    from forebay.pipelines.feature_processor.settings import ProcessorSettings
    from forebay.pipelines.steps.dead_letter_limit import Allowance

    compiled = read(plan_file)
    run(
        compiled,
        ProcessorSettings(
            brokers=kafka_of(compiled, brokers, kafka_properties),
            redis=redis_of(compiled, redis),
            schema_registry=schema_registry,
            metrics_host=metrics_host,
            metrics_port=metrics_port,
            max_batch_records=max_batch_records,
            session_timeout_ms=session_timeout_ms,
            ready_records=ready_records,
            hang_after_s=hang_after_s,
            dead_letters=Allowance(max_dead_letters, max_dead_letter_share),
            retire_after_s=retire_after_s,
            plan_file=plan_file,
        ),
    )
