"""The scoring worker by turns with the build before and with a plain loop: `python -m benchmarks.scoring`.

python -m benchmarks.scoring backlog --before CHECKOUT
python -m benchmarks.scoring latency --before CHECKOUT
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer

from benchmarks.scoring.backlog import produce_backlog, work_off
from benchmarks.scoring.latency import measure
from benchmarks.scoring.report import backlog_table, scoring_latency_table
from benchmarks.scoring.systems import Build, Plain, System
from benchmarks.shared.display import progress_display
from benchmarks.shared.machine import this_machine
from benchmarks.shared.publish import publish
from benchmarks.shared.report import Report
from forebay.cli.error_line import error_line
from forebay.local.valkey import Valkey
from tests.kafka.apache_kafka import apache_kafka

Row = TypeVar("Row", bound=msgspec.Struct)

Before = Annotated[Path | None, typer.Option(help="Checkout of a build to compare with.")]
Rounds = Annotated[int, typer.Option(min=1, help="How often each system has its turn.")]
Features = Annotated[list[int], typer.Option(help="Number of features, 24 or 48; may be repeated.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

app = typer.Typer(add_completion=False, help=__doc__)


def _systems(before: Path | None) -> list[System]:
    builds = [Build("forebay")] if before is None else [Build("forebay"), Build("before", before)]
    return [*builds, Plain()]


def _by_turns(
    before: Path | None, rounds: int, cases: Iterable[tuple[int, int]], run: Callable[[System, str, int, int], Row]
) -> list[Row]:
    """Every system in every case, and all of it again: a slow minute of the machine does not meet the same one."""
    turns = [(number, case, system) for number in range(rounds) for case in cases for system in _systems(before)]
    rows = []
    with progress_display() as display:
        task = display.add_task("measuring", total=len(turns))
        for at, (_number, (features, rate), system) in enumerate(turns):
            display.update(task, description=f"{system.name}, {features} features")
            rows.append(run(system, f"bench_{at}", features, rate))
            display.advance(task)
    return rows


@app.command()
def backlog(
    before: Before = None,
    events: Annotated[int, typer.Option(min=5_000, help="Events on the topic.")] = 60_000,
    rounds: Rounds = 2,
    features: Features = [24, 48],  # noqa: B006 - typer reads it
    as_json: AsJson = False,
) -> None:
    """Measure predictions per second on a topic that is full of events."""
    with error_line():
        with apache_kafka() as kafka, Valkey() as store:
            servers = (kafka.bootstrap, store.address)
            produce_backlog(kafka.bootstrap, "payments", events)
            rows = _by_turns(
                before,
                rounds,
                [(each, 0) for each in features],
                lambda system, name, count, _rate: work_off(system, name, count, servers, "payments", events),
            )
        publish("scoring-backlog", Report(this_machine(), rows), {"scoring-backlog": backlog_table(rows)}, as_json)


@app.command()
def latency(
    before: Before = None,
    rates: Annotated[list[int], typer.Option("--rate", help="Events per second; may be repeated.")] = [1_000, 5_000],  # noqa: B006 - typer reads it
    seconds: Annotated[int, typer.Option(min=11, help="How long; the first 10 s are warm-up.")] = 25,
    rounds: Rounds = 1,
    features: Annotated[int, typer.Option(help="Number of features, 24 or 48.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Measure the time from an event to its prediction."""
    with error_line():
        with apache_kafka() as kafka, Valkey() as store:
            servers = (kafka.bootstrap, store.address)
            rows = _by_turns(
                before,
                rounds,
                [(features, rate) for rate in rates],
                lambda system, name, count, rate: measure(system, name, count, servers, rate, seconds),
            )
        tables = {"scoring-latency": scoring_latency_table(rows)}
        publish("scoring-latency", Report(this_machine(), rows), tables, as_json)


if __name__ == "__main__":
    app()
