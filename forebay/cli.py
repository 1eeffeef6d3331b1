"""The command line. Every command is thin: it reads settings, calls one function, and explains errors."""

from __future__ import annotations

import enum
import json
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
import typer
from rich.console import Console

from pipelines.contract.plan import Plan
from pipelines.errors import ForebayError, SettingsError

app = typer.Typer(
    name="forebay",
    help="Streaming features and predictions from a Feast registry.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()
errors = Console(stderr=True)

DEFAULT_PLAN = Path(".forebay/plan.msgpack")

PlanOption = Annotated[Path, typer.Option("--plan", help="Plan file made by `forebay plan`.")]
RepoOption = Annotated[Path, typer.Option("--repo", help="Feast feature repository, applied with `feast apply`.")]
BrokersOption = Annotated[
    str | None,
    typer.Option(envvar="FOREBAY_BROKERS", help="host:port[,host:port]; default: the sources' own."),
]
RedisOption = Annotated[
    str | None,
    typer.Option(envvar="FOREBAY_REDIS", help="host:port[,option=value...]; default: the online store's own."),
]
ModelOption = Annotated[Path, typer.Option("--model", help="models/<name>, or models/<name>/<version>.")]
MetricsHost = Annotated[str, typer.Option(help="Address of the metrics page.")]
MetricsPort = Annotated[int, typer.Option(help="Port of the metrics page; 0: none.")]


class Delivery(enum.StrEnum):
    """Delivery guarantee of predictions."""

    EXACTLY_ONCE = "exactly_once"
    AT_LEAST_ONCE = "at_least_once"


class ClockName(enum.StrEnum):
    """What "now" means for requests without a time."""

    WALL = "wall"
    WATERMARK = "watermark"


@app.command()
def plan(
    repo: RepoOption = Path("feature_repo"),
    out: Annotated[Path, typer.Option(help="Where to write the plan file.")] = DEFAULT_PLAN,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Compile the registry into the plan file, check it completely, and print it."""
    from forebay.compile import compile_plan
    from forebay.plan_view import plan_as_json, print_plan

    compiled = compile_plan(repo, out)
    if as_json:
        console.print_json(json.dumps(plan_as_json(compiled)))
    else:
        print_plan(compiled, console)
        console.print(f"written to {out}")


@app.command()
def topics(
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each new topic.")] = 4,
    replication: Annotated[int, typer.Option(min=1, help="Copies of each new topic.")] = 1,
    predictions: Annotated[str | None, typer.Option(help="Prediction topic to create too.")] = None,
) -> None:
    """Create the topics the plan needs that do not exist yet."""
    from forebay.stack.topics import create_topics
    from forebay.topics import needed_topics

    compiled = _read_plan(plan_file)
    wanted = needed_topics(compiled, partitions)
    if predictions:
        wanted[predictions] = partitions
    create_topics(_brokers(compiled, brokers), wanted, replication)
    for topic, count in wanted.items():
        console.print(f"{topic}  {count} partitions")


@app.command()
def backfill(
    history: Annotated[Path, typer.Option(help="Folder with one Parquet file of events per topic.")],
    plan_file: PlanOption = DEFAULT_PLAN,
    service: Annotated[str | None, typer.Option(help="Also write training rows of this feature service.")] = None,
    topic: Annotated[str | None, typer.Option(help="The scored topic, whose events ask for training rows.")] = None,
    out: Annotated[Path, typer.Option(help="Where training rows go (Parquet).")] = Path("training.parquet"),
) -> None:
    """Compute features as of every event of history into the views' batch sources."""
    from forebay.backfill import backfill_service, backfill_views

    compiled = _read_plan(plan_file)
    backfill_views(compiled, history, console)
    if service:
        if not topic:
            raise SettingsError("--service needs --topic: the topic whose events are scored")
        backfill_service(compiled, service, topic, history, out, console)


@app.command()
def process(
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    redis: RedisOption = None,
    metrics_host: MetricsHost = "127.0.0.1",
    metrics_port: MetricsPort = 0,
    session_timeout_s: Annotated[
        float, typer.Option(help="A silent processor loses its partitions after this.")
    ] = 10.0,
    max_batch_records: Annotated[int, typer.Option(min=1, help="Records fetched at once.")] = 5_000,
) -> None:
    """Compute the stream views' windows from Kafka into Redis, until told to stop."""
    from pipelines.feature_processor.run import run
    from pipelines.feature_processor.settings import ProcessorSettings

    compiled = _read_plan(plan_file)
    run(
        compiled,
        ProcessorSettings(
            brokers=_brokers(compiled, brokers),
            redis=_redis(compiled, redis),
            metrics_host=metrics_host,
            metrics_port=metrics_port,
            max_batch_records=max_batch_records,
            session_timeout_s=session_timeout_s,
        ),
    )


@app.command()
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
) -> None:
    """Score every event of a topic onto a prediction topic, until told to stop."""
    from pipelines.adapters.kafka import group_name
    from pipelines.adapters.metrics import serve_metrics
    from serving.build import build_event_scorer, build_scorer
    from serving.worker import Worker, WorkerSettings

    compiled = _read_plan(plan_file)
    addresses, store = _brokers(compiled, brokers), _redis(compiled, redis)
    scorer = build_scorer(compiled, model, store)
    event_scorer = build_event_scorer(
        compiled, scorer, topic, output, addresses, store, feature_wait_ms, include_features
    )
    if metrics_port:
        serve_metrics(metrics_host, metrics_port)
    worker = Worker(
        WorkerSettings(
            brokers=addresses,
            topic=topic,
            group=group_name(compiled.project, "score", topic, scorer.model.name),
            delivery=delivery.value,
            instance=instance,
            session_timeout_ms=session_timeout_ms,
        ),
        event_scorer,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: worker.stop())
    worker.run()


@app.command()
def serve(
    model: ModelOption,
    plan_file: PlanOption = DEFAULT_PLAN,
    redis: RedisOption = None,
    brokers: BrokersOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    clock: Annotated[ClockName, typer.Option(envvar="FOREBAY_CLOCK", help="What now means.")] = ClockName.WALL,
    insecure: Annotated[bool, typer.Option(help="Allow another address than loopback without a token.")] = False,
) -> None:
    """Answer the same question over HTTP."""
    from pipelines.adapters.clock import Clock, WallClock, WatermarkClock
    from pipelines.adapters.kafka import Topics
    from pipelines.adapters.progress_reader import ProgressReader
    from pipelines.adapters.redis_store import RedisStore
    from serving.build import build_scorer, online_views
    from serving.http.server import run_server
    from serving.http.settings import http_settings

    compiled = _read_plan(plan_file)
    store = _redis(compiled, redis)
    now: Clock = WallClock()
    if clock is ClockName.WATERMARK:
        views = online_views(compiled, Topics(_brokers(compiled, brokers)))
        now = WatermarkClock(ProgressReader(compiled.project, views, RedisStore(store)))
    run_server(build_scorer(compiled, model, store), now, http_settings(host, port, insecure))


@app.command()
def replay(
    history: Annotated[Path, typer.Option(help="Folder with one Parquet file of events per topic.")],
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    speed: Annotated[float, typer.Option(min=0, help="Multiple of real time; 0: as fast as possible.")] = 1.0,
    start: Annotated[datetime | None, typer.Option(help="First event time (UTC).")] = None,
    end: Annotated[datetime | None, typer.Option(help="Event time (UTC) to stop before.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Publish history again, all topics in event-time order, at a multiple of real time."""
    from forebay.replay import Span, replay_with_progress, replayed_events

    compiled = _read_plan(plan_file)
    events = replayed_events(compiled, history, Span(_utc_ms(start), _utc_ms(end)))
    done = replay_with_progress(events, _brokers(compiled, brokers), speed, errors, "replay")
    if as_json:
        console.print_json(msgspec.json.encode(done).decode())
    else:
        console.print(f"{done.events:,} events in {done.wall_s:.1f} s")


@app.command()
def up(
    model: ModelOption,
    topic: Annotated[str, typer.Option(help="Topic to score.")],
    output: Annotated[str, typer.Option(help="Prediction topic.")],
    repo: RepoOption = Path("feature_repo"),
    folder: Annotated[Path, typer.Option(help="Takes the plan file and the logs.")] = DEFAULT_PLAN.parent,
    port: Annotated[int, typer.Option(help="Port of the endpoint; 0: a free one.")] = 8000,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each topic.")] = 4,
    clock: Annotated[ClockName, typer.Option(envvar="FOREBAY_CLOCK", help="What now means.")] = ClockName.WALL,
) -> None:
    """Run all of it on this machine, embedded broker and store included, until Ctrl-C."""
    from forebay.stack.local import StackSettings
    from forebay.up import up as run_stack

    run_stack(
        StackSettings(
            repo=repo,
            model=model,
            topic=topic,
            output=output,
            folder=folder,
            http_port=port,
            partitions=partitions,
            clock=clock.value,
        ),
        console,
    )


def _utc_ms(given: datetime | None) -> int | None:
    return None if given is None else int(given.replace(tzinfo=UTC).timestamp() * 1_000)


def _read_plan(path: Path) -> Plan:
    from pipelines.contract.plan_file import read_plan

    return read_plan(path)


def _brokers(compiled: Plan, given: str | None) -> str:
    if given:
        return given
    declared = {source.brokers for source in compiled.sources}
    if len(declared) == 1:
        return declared.pop()
    raise SettingsError(
        f"the sources name {len(declared)} different brokers: give one address with --brokers or FOREBAY_BROKERS"
    )


def _redis(compiled: Plan, given: str | None) -> str:
    if given or compiled.redis:
        return given or compiled.redis
    raise SettingsError("the plan names no online store: give its address with --redis or FOREBAY_REDIS")


def main() -> None:
    """Entry point of the console script: errors made on purpose are one line, without a traceback."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        app()
    except ForebayError as error:
        errors.print(f"[bold red]error:[/] {error}", markup=True, highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
