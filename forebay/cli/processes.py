"""The long-running processes: they work until they are told to stop."""

from __future__ import annotations

import enum
import signal
from typing import Annotated

import typer

from forebay.cli.options import (
    DEFAULT_PLAN,
    BrokersOption,
    ClockName,
    HangAfter,
    MetricsHost,
    MetricsPort,
    ModelOption,
    PlanOption,
    RedisOption,
    brokers_of,
    read,
    redis_of,
)
from forebay.stack.ports import LAST_PORT
from pipelines.process.watchdog import HANG_AFTER_S

MaxDeadLetters = Annotated[
    int,
    typer.Option(
        envvar="FOREBAY_MAX_DEAD_LETTERS", min=0, help="Stop at more dead letters of a partition in a row; 0: no limit."
    ),
]
MaxDeadLetterShare = Annotated[
    float,
    typer.Option(
        envvar="FOREBAY_MAX_DEAD_LETTER_SHARE",
        min=0.0,
        max=1.0,
        help="Stop at a larger share of dead letters among the last 10,000 records; 0: no limit.",
    ),
]


class Delivery(enum.StrEnum):
    """Delivery guarantee of predictions."""

    EXACTLY_ONCE = "exactly_once"
    AT_LEAST_ONCE = "at_least_once"


def process(
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    redis: RedisOption = None,
    metrics_host: MetricsHost = "127.0.0.1",
    metrics_port: MetricsPort = 0,
    session_timeout_s: Annotated[
        float, typer.Option(help="A silent processor loses its partitions after this.")
    ] = 10.0,
    max_batch_records: Annotated[int, typer.Option(min=1, help="Records fetched at once.")] = 100_000,
    level_records: Annotated[
        int,
        typer.Option(min=0, help="A view further behind others of its topic is first brought up on its own."),
    ] = 10_000,
    hang_after_s: HangAfter = HANG_AFTER_S,
    max_dead_letters: MaxDeadLetters = 1_000,
    max_dead_letter_share: MaxDeadLetterShare = 0.5,
    retire_after_s: Annotated[
        float,
        typer.Option(min=1.0, help="The state of a replaced, unused definition stays at least so long."),
    ] = 600.0,
) -> None:
    """Compute the stream views' windows from Kafka into Redis, until told to stop."""
    from pipelines.feature_processor.run import run
    from pipelines.feature_processor.settings import ProcessorSettings
    from pipelines.steps.poison import Allowance

    compiled = read(plan_file)
    run(
        compiled,
        ProcessorSettings(
            brokers=brokers_of(compiled, brokers),
            redis=redis_of(compiled, redis),
            metrics_host=metrics_host,
            metrics_port=metrics_port,
            max_batch_records=max_batch_records,
            session_timeout_s=session_timeout_s,
            level_records=level_records,
            hang_after_s=hang_after_s,
            dead_letters=Allowance(max_dead_letters, max_dead_letter_share),
            retire_after_s=retire_after_s,
            plan_file=plan_file,
        ),
    )


def score(
    model: ModelOption,
    topic: Annotated[str, typer.Option(help="Topic to score.")],
    output: Annotated[str, typer.Option(help="Prediction topic.")],
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    redis: RedisOption = None,
    delivery: Annotated[Delivery, typer.Option(help="Delivery guarantee of predictions.")] = Delivery.EXACTLY_ONCE,
    feature_wait_ms: Annotated[int, typer.Option(min=0, help="Longest wait for the event's own features.")] = 1_000,
    include_features: Annotated[bool, typer.Option(help="Put the model's input into predictions.")] = False,
    instance: Annotated[str, typer.Option(help="This worker's name in its group; default: random.")] = "",
    session_timeout_ms: Annotated[int, typer.Option(help="A silent worker loses its partitions.")] = 10_000,
    metrics_host: MetricsHost = "127.0.0.1",
    metrics_port: MetricsPort = 0,
    hang_after_s: HangAfter = HANG_AFTER_S,
    max_dead_letters: MaxDeadLetters = 1_000,
    max_dead_letter_share: MaxDeadLetterShare = 0.5,
) -> None:
    """Score every event of a topic onto a prediction topic, until told to stop."""
    from pipelines.adapters.kafka import group_name
    from pipelines.adapters.last_resort import leave_if_late
    from pipelines.adapters.metrics import serve_metrics
    from pipelines.contract.plan import Plan
    from pipelines.process.watchdog import WATCHDOG
    from pipelines.steps.poison import Allowance
    from serving.build import build_event_scorer
    from serving.event_scorer import EventScorer
    from serving.every import Every
    from serving.following import Files, following
    from serving.model import model_name
    from serving.renewal import LOOK_S
    from serving.scorer import Scorer
    from serving.settings import WorkerSettings
    from serving.worker import Worker

    compiled = read(plan_file)
    addresses, store = brokers_of(compiled, brokers), redis_of(compiled, redis)

    def event_scorer(plan: Plan, scorer: Scorer) -> EventScorer:
        return build_event_scorer(plan, scorer, topic, output, addresses, store, feature_wait_ms, include_features)

    if metrics_port:
        serve_metrics(metrics_host, metrics_port)
    with following(compiled, Files(plan_file, model), store, event_scorer) as renewed:
        worker = Worker(
            WorkerSettings(
                brokers=addresses,
                topic=topic,
                group=group_name(compiled.project, "score", topic, model_name(model)),
                delivery=delivery.value,
                instance=instance,
                session_timeout_ms=session_timeout_ms,
                dead_letters=Allowance(max_dead_letters, max_dead_letter_share),
            ),
            lambda messages: renewed.present(messages),
        )

        WATCHDOG.start(hang_after_s)

        def stop(*_signal: object) -> None:
            worker.stop()
            leave_if_late()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        # Beside the scoring thread: a model that is loaded and warmed holds up no events, and none need come.
        with Every(LOOK_S, renewed.look, "forebay-follow"):
            worker.run()


def serve(
    model: ModelOption,
    plan_file: PlanOption = DEFAULT_PLAN,
    redis: RedisOption = None,
    brokers: BrokersOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=LAST_PORT, help="Port to listen on; 0: a free one.")] = 8000,
    clock: Annotated[ClockName, typer.Option(envvar="FOREBAY_CLOCK", help="What now means.")] = ClockName.WALL,
    insecure: Annotated[bool, typer.Option(help="Allow another address than loopback without a token.")] = False,
    hang_after_s: HangAfter = HANG_AFTER_S,
) -> None:
    """Answer the same question over HTTP."""
    from starlette.types import ASGIApp

    from pipelines.adapters.clock import Clock, WallClock
    from pipelines.contract.plan import Plan
    from pipelines.process.watchdog import WATCHDOG
    from serving.build import watermark_clock
    from serving.following import Files, following
    from serving.http.app import build_app
    from serving.http.renewed_app import RenewedApp
    from serving.http.server import run_server
    from serving.http.settings import http_settings
    from serving.scorer import Scorer

    compiled = read(plan_file)
    store = redis_of(compiled, redis)
    settings = http_settings(host, port, insecure)

    wall = clock is ClockName.WALL

    def app(plan: Plan, scorer: Scorer) -> ASGIApp:
        now: Clock = WallClock() if wall else watermark_clock(plan, brokers_of(plan, brokers), store)
        return build_app(scorer, now, settings)

    with following(compiled, Files(plan_file, model), store, app, reads_all=not wall) as renewed:
        WATCHDOG.start(hang_after_s)
        run_server(RenewedApp(renewed), settings)
