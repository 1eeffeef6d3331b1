"""Commands for one machine: the whole stack, and history published again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from forebay.cli.options import (
    DEFAULT_PLAN,
    BrokersOption,
    ClockName,
    ClockOption,
    IncludeFeatures,
    KafkaPropertiesOption,
    MaxLeftOut,
    ModelOption,
    PlanOption,
    RedisOption,
    RepoOption,
    SchemaRegistryOption,
    console,
    errors,
    kafka_at,
    kafka_of,
    read,
    utc_ms,
)
from forebay.local.ports import LAST_PORT
from forebay.local.processes import Process
from forebay.pipelines.history.left_out import DEFAULT_MAX_SHARE


def replay(
    history: Annotated[Path, typer.Option(help="Folder with one Parquet file of events per topic.")],
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    kafka_properties: KafkaPropertiesOption = None,
    schema_registry: SchemaRegistryOption = "",
    speed: Annotated[float, typer.Option(min=0, help="Multiple of real time; 0: as fast as possible.")] = 1.0,
    start: Annotated[datetime | None, typer.Option(help="First event time (UTC).")] = None,
    end: Annotated[datetime | None, typer.Option(help="Event time (UTC) to stop before.")] = None,
    max_left_out: MaxLeftOut = DEFAULT_MAX_SHARE,
    redis: RedisOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Publish history again, all topics in event-time order, at a multiple of real time."""
    from forebay.history.backfill import print_left_out
    from forebay.history.replay import Span, replay_with_progress, replayed_events
    from forebay.pipelines.history.load import History
    from forebay.store.erased import forgotten_if_known

    compiled = read(plan_file)
    found = History(history, max_left_out, forgotten_if_known(compiled, redis, errors))
    events = replayed_events(compiled, found, Span(utc_ms(start), utc_ms(end)), schema_registry)
    print_left_out(found, errors)
    done = replay_with_progress(events, kafka_of(compiled, brokers, kafka_properties), speed, errors, "replay")
    if as_json:
        console.print_json(msgspec.json.encode(done).decode())
    else:
        console.print(f"{done.events:,} events in {done.wall_s:.1f} s")


def up(
    model: ModelOption,
    topic: Annotated[str, typer.Option(help="Topic to score.")],
    output: Annotated[str, typer.Option(help="Prediction topic.")],
    repo: RepoOption = Path("feature_repo"),
    folder: Annotated[Path, typer.Option(help="Folder for the plan file and the logs.")] = DEFAULT_PLAN.parent,
    port: Annotated[int, typer.Option(min=0, max=LAST_PORT, help="Port of the endpoint; 0: a free one.")] = 8000,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each topic.")] = 4,
    clock: ClockOption = ClockName.WALL,
    brokers: Annotated[
        str,
        # FOREBAY_BROKERS may name another stack's, or production's: nobody means those by `up` alone.
        typer.Option(
            envvar="",
            show_envvar=False,
            help="host:port[,host:port] of a running Kafka; default: an embedded broker. No variable sets it.",
        ),
    ] = "",
    kafka_properties: KafkaPropertiesOption = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder in which the store keeps its rows; needs --brokers, which keep topics.")
    ] = None,
    include_features: IncludeFeatures = False,
    without: Annotated[
        list[Process] | None, typer.Option(help="Do not start this process; repeat it for more processes.")
    ] = None,
) -> None:
    """Run everything on this machine, embedded broker and store included, until Ctrl-C."""
    from forebay.local.stack import StackSettings
    from forebay.local.up import up as run_stack

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
            brokers=kafka_at(brokers, kafka_properties) if brokers else "",
            kafka_properties=kafka_properties,
            data=data,
            include_features=include_features,
            without=frozenset(without or ()),
        ),
        console,
    )
