"""Commands on definitions and history: they run once and end."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from forebay.cli.options import (
    DEFAULT_PLAN,
    BrokersOption,
    KafkaPropertiesOption,
    MaxLeftOut,
    PlanOption,
    RedisOption,
    RepoOption,
    console,
    errors,
    kafka_of,
    read,
    redis_of,
    stream_view,
    utc_ms,
)
from forebay.pipelines.errors import SettingsError
from forebay.pipelines.history.left_out import DEFAULT_MAX_SHARE


def plan(
    repo: RepoOption = Path("feature_repo"),
    out: Annotated[Path, typer.Option(help="Where to write the plan file.")] = DEFAULT_PLAN,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep running, and write the plan again after every `feast apply`.")
    ] = False,
) -> None:
    """Compile the registry into the plan file, check it completely, and print it."""
    from forebay.definitions.compile import compile_again, compile_plan
    from forebay.definitions.plan_view import plan_as_json, print_plan

    compiled = compile_plan(repo, out)
    if as_json:
        console.print_json(json.dumps(plan_as_json(compiled)))
    else:
        print_plan(compiled, console)
        console.print(f"written to {out}")
    if watch:
        compile_again(repo, out, compiled)


def topics(
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    kafka_properties: KafkaPropertiesOption = None,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each new topic.")] = 4,
    replication: Annotated[int, typer.Option(min=1, help="Replication factor of each new topic.")] = 1,
    output: Annotated[
        str | None,
        typer.Option(
            help="Prediction topic to create as well, with those beside it: unscored events, and models in the shadow."
        ),
    ] = None,
) -> None:
    """Create the topics that the plan needs and that do not exist yet."""
    from forebay.definitions.topics import carrying_topics, needed_topics
    from forebay.local.topics import create_topics
    from forebay.pipelines.contract.kafka.topics import output_topics

    compiled = read(plan_file)
    wanted = needed_topics(compiled, partitions)
    if output:
        wanted |= dict.fromkeys(output_topics(output), partitions)
    create_topics(kafka_of(compiled, brokers, kafka_properties), wanted, replication, carrying_topics(compiled))
    for topic, count in wanted.items():
        console.print(f"{topic}  {count} partitions")


def forget(
    entity: Annotated[
        list[str], typer.Option(help="Join key and value, as name=value; repeat it for a composite key.")
    ],
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    kafka_properties: KafkaPropertiesOption = None,
    redis: RedisOption = None,
    remember_days: Annotated[
        float | None,
        typer.Option(
            envvar="FOREBAY_REMEMBER_DAYS",
            min=0.0,
            help="Days for which its events are not counted again, 0: without end; default: as long as topics keep "
            "records. Files of history that name it must not be kept longer.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was removed as JSON.")] = False,
) -> None:
    """Remove everything the online store holds about an entity, for good, and list topics that may still name it."""
    from forebay.store.forget import DAY_MS, parse_entity, print_forgotten
    from forebay.store.forget import forget as remove
    from forebay.store.kept_records import kept_records

    compiled = read(plan_file)
    named = parse_entity(compiled, entity)
    records = kept_records(compiled, kafka_of(compiled, brokers, kafka_properties))
    days = (records.longest_ms or 0) / DAY_MS if remember_days is None else remember_days
    removed = remove(compiled, redis_of(compiled, redis), named, round(days * DAY_MS), records.offsets)
    if as_json:
        console.print_json(msgspec.json.encode(removed).decode())
    else:
        print_forgotten(removed, console)
    if records.unknown:
        errors.print(escape(f"warning: records that no view contains yet may count again: {records.unknown}"))


def rebuild(
    views: Annotated[list[str], typer.Argument(help="Stream feature views.")],
    plan_file: PlanOption = DEFAULT_PLAN,
    brokers: BrokersOption = None,
    kafka_properties: KafkaPropertiesOption = None,
    redis: RedisOption = None,
) -> None:
    """Remove the rows and progress of views, so that they are computed anew from what Kafka retains."""
    from forebay.store.rebuild import check_stopped, clear_view

    compiled = read(plan_file)
    addresses = kafka_of(compiled, brokers, kafka_properties)
    chosen = [stream_view(compiled, name) for name in views]
    check_stopped(compiled, addresses)
    for view in chosen:
        cleared = clear_view(compiled, view, redis_of(compiled, redis))
        console.print(
            f"{escape(view.name)}: {cleared.rows} rows and the progress of {cleared.partitions} partitions removed; "
            f"`forebay process` now reads {escape(cleared.topic)} from its beginning"
        )


def materialize(
    views: Annotated[list[str] | None, typer.Argument(help="Batch feature views; default: all.")] = None,
    repo: RepoOption = Path("feature_repo"),
    start: Annotated[
        datetime | None, typer.Option(help="First event time (UTC); default: where the last run of each view ended.")
    ] = None,
    end: Annotated[datetime | None, typer.Option(help="Last event time (UTC); default: now.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Copy the newest rows of batch views to the online store; `forebay process` writes stream views."""
    from forebay.history.materialize import materialize as copy
    from forebay.history.materialize import print_materialized

    end_ms = utc_ms(end)
    done = copy(repo, views or (), utc_ms(start), time.time_ns() // 1_000_000 if end_ms is None else end_ms)
    if as_json:
        console.print_json(msgspec.json.encode(done).decode())
    else:
        print_materialized(done, console)


def backfill(
    history: Annotated[Path, typer.Option(help="Folder with one Parquet file of events per topic.")],
    plan_file: PlanOption = DEFAULT_PLAN,
    service: Annotated[str | None, typer.Option(help="Also write training rows of this feature service.")] = None,
    topic: Annotated[str | None, typer.Option(help="Scored topic: each of its events gives a training row.")] = None,
    out: Annotated[Path, typer.Option(help="Parquet file for the training rows.")] = Path("training.parquet"),
    max_left_out: MaxLeftOut = DEFAULT_MAX_SHARE,
    redis: RedisOption = None,
) -> None:
    """Compute features as of every event of history, and write them to the views' batch sources."""
    from forebay.history.backfill import Training
    from forebay.history.backfill import backfill as write
    from forebay.pipelines.history.load import History
    from forebay.store.erased import forgotten_if_known

    if service and not topic:
        raise SettingsError("--service needs --topic: the topic whose events are scored")
    training = Training(service, topic, out) if service and topic else None
    compiled = read(plan_file)
    forgotten = forgotten_if_known(compiled, redis, errors)
    write(compiled, History(history, max_left_out, forgotten), console, training)
