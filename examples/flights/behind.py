"""How a worker that is a whole day behind answers: `python -m examples.flights.behind`, after `make demo`.

All events of 30 September are processed first. Then every flight of that day is asked for as of one hour before its
departure, and each feature is compared with training rows, which know of no later event.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pandas as pd
import typer

from examples.flights.demo import DATA, FILL_MS, FOLDER, LIVE_MS
from examples.flights.events import SCHEDULED
from forebay.cli.error_line import error_line
from forebay.history.replay import Span, replayed_events
from forebay.history.training import feature_columns, training_rows
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.plan_file import read_plan
from forebay.pipelines.history.load import History
from forebay.time_travel import TimeTravel

SERVICE = "late_arrival"


class Comparison(msgspec.Struct, frozen=True):
    """Features as of the past against history."""

    flights: int
    values: int
    equal_values: float
    """Share of the values of stream features."""
    equal_flights: float
    """Share of the flights of which all are equal."""


def compare(plan: Plan, recent: Path) -> Comparison:
    """Processes the day, and then asks for each of its flights."""
    travel = TimeTravel(plan)
    events: dict[str, list[Any]] = defaultdict(list)
    for event in replayed_events(plan, History(recent), Span(FILL_MS, LIVE_MS)):
        events[event.topic].append(msgspec.json.decode(event.value))
    for topic, fields in events.items():
        travel.feed(topic, *fields)
    rows = training_rows(plan, SERVICE, SCHEDULED, History(recent), lambda _count: None)
    rows = rows[rows["flight_id"].isin([each["flight_id"] for each in events[SCHEDULED]])]
    streamed = {view.name for view in plan.stream_views}
    columns = [name for name in feature_columns(rows) if name.partition("__")[0] in streamed]
    fields_asked = list(plan.service(SERVICE).field_types)
    equal = []
    for row in rows.to_dict("records"):
        asked = {name: _plain(row[name]) for name in fields_asked}
        found = travel.features(SERVICE, int(row["event_ms"]), **asked)
        equal.append([found[name] == _plain(row[name]) for name in columns])
    table = pd.DataFrame(equal)
    return Comparison(len(table), table.size, float(table.to_numpy().mean()), float(table.all(axis=1).mean()))


def _plain(value: Any) -> Any:
    """A value of a row as requests and features have it."""
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def main(as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False) -> None:
    """Compare features as of the past with history."""
    with error_line():
        found = compare(read_plan(FOLDER / "plan.msgpack"), DATA / "recent")
        if as_json:
            print(msgspec.json.encode(found).decode())
            return
        print(
            f"{found.flights} flights: {found.equal_values:.1%} of {found.values:,} stream feature values, and all of "
            f"{found.equal_flights:.1%} of the flights, are as in history"
        )


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[2])
    typer.run(main)
