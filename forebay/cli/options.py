"""Options that several commands share, and their values where they are not given."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from forebay.local.ports import LAST_PORT
from forebay.pipelines.adapters.kafka.connection import (
    ADDRESSES,
    FILE_VARIABLE,
    VARIABLE_PREFIX,
    KafkaConnection,
    checked,
    read_properties,
)
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.errors import SettingsError
from forebay.pipelines.steps.event_time import to_event_ms

console = Console(soft_wrap=not sys.stdout.isatty())
"""Does not wrap lines in a file or a pipe, whatever their length."""

errors = Console(stderr=True)

DEFAULT_PLAN = Path(".forebay/plan.msgpack")

PlanOption = Annotated[Path, typer.Option("--plan", envvar="FOREBAY_PLAN", help="Plan file made by `forebay plan`.")]
RepoOption = Annotated[
    Path, typer.Option("--repo", envvar="FOREBAY_REPO", help="Feast feature repository, applied with `feast apply`.")
]
BrokersOption = Annotated[
    str | None,
    typer.Option(envvar="FOREBAY_BROKERS", help="host:port[,host:port]; default: the sources' own."),
]
KafkaPropertiesOption = Annotated[
    Path | None,
    typer.Option(
        envvar=FILE_VARIABLE,
        help=f"File of librdkafka properties, name=value; {VARIABLE_PREFIX}... variables go before it.",
    ),
]
RedisOption = Annotated[
    str | None,
    typer.Option(envvar="FOREBAY_REDIS", help="host:port[,option=value...]; default: the online store's own."),
]
ModelOption = Annotated[Path, typer.Option("--model", help="models/<name>, or models/<name>/<version>.")]
MetricsHost = Annotated[str, typer.Option(help="Address of the metrics page.")]
MetricsPort = Annotated[int, typer.Option(min=0, max=LAST_PORT, help="Port of the metrics page; 0: none.")]

HangAfter = Annotated[
    float,
    typer.Option(
        min=1.0,
        help="Longest time for one step of the work; after it the process ends with status 75, to be restarted.",
    ),
]
SessionTimeout = Annotated[int, typer.Option(min=1, help="Time after which a silent process loses its partitions.")]
SchemaRegistryOption = Annotated[
    str,
    typer.Option(
        envvar="FOREBAY_SCHEMA_REGISTRY",
        help="http(s)://[user:password@]host[:port], for framed Avro events; empty: none.",
    ),
]
MaxBatchRecords = Annotated[int, typer.Option(min=1, help="Most records of a batch.")]
MaxDeadLetters = Annotated[
    int, typer.Option(min=0, help="Most consecutive dead letters of a partition before the process stops; 0: no limit.")
]
MaxDeadLetterShare = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Largest share of dead letters in the last 10,000 records before the process stops; 0: no limit.",
    ),
]
MaxLeftOut = Annotated[
    float,
    typer.Option(min=0.0, max=1.0, help="Largest share of a topic's events that may be unusable; 1: no limit."),
]


class ClockName(enum.StrEnum):
    """Clock of requests without a time."""

    WALL = "wall"
    WATERMARK = "watermark"


ClockOption = Annotated[
    ClockName, typer.Option(help="Clock of requests without a time: this machine's, or the newest event time.")
]
IncludeFeatures = Annotated[bool, typer.Option(help="Put the model's input into predictions.")]


def utc_ms(given: datetime | None) -> int | None:
    """Converts a time in UTC to ms since the epoch."""
    return None if given is None else to_event_ms(given.replace(tzinfo=UTC))


def read(path: Path) -> Plan:
    """Reads the plan in a file."""
    from forebay.pipelines.contract.plan.plan_file import read_plan

    return read_plan(path)


def kafka_of(compiled: Plan, given: str | None, file: Path | None) -> KafkaConnection:
    """Returns how to reach the brokers: at the given addresses, else those of the properties, else of all sources.

    Raises:
        SettingsError: the sources name several, or a property can't be used.
    """
    return _connection(given, lambda: _declared(compiled), file)


def kafka_at(addresses: str, file: Path | None) -> KafkaConnection:
    """Returns how to reach the brokers at these addresses. Raises `SettingsError` as `kafka_of`."""
    return _connection(addresses, str, file)


def _connection(given: str | None, default: Callable[[], str], file: Path | None) -> KafkaConnection:
    properties = read_properties(os.environ, file)
    addresses = properties.pop(ADDRESSES, None)
    return checked(KafkaConnection(given or addresses or default(), properties))


def _declared(compiled: Plan) -> str:
    declared = {source.brokers for source in compiled.sources}
    if len(declared) == 1:
        return declared.pop()
    raise SettingsError(
        f"the sources name {len(declared)} different brokers: give one address with --brokers or FOREBAY_BROKERS"
    )


def redis_of(compiled: Plan, given: str | None) -> str:
    """Returns the given address, else the online store's.

    Raises:
        SettingsError: there is none.
    """
    if given or compiled.redis:
        return given or compiled.redis
    raise SettingsError("the plan names no online store: give its address with --redis or FOREBAY_REDIS")


def stream_view(compiled: Plan, name: str) -> StreamView:
    """Returns the stream view of that name.

    Raises:
        SettingsError: the plan has none.
    """
    try:
        return compiled.stream_view(name)
    except KeyError as error:
        raise SettingsError(error.args[0]) from error
