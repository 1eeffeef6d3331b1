"""Features of flights out of New York: declared once, here.

Event times are UTC. Flight topics are keyed by the plane, so the views of origins, destinations and
carriers are computed from routed topics; that is Forebay's business, not this file's.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, KafkaSource, RequestSource, ValueType
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat
from feast.on_demand_feature_view import on_demand_feature_view
from feast.stream_feature_view import StreamFeatureView, stream_feature_view
from feast.types import Float64, Int64, String

DATA = Path(os.environ.get("FLIGHTS_DATA", Path(__file__).resolve().parent.parent / ".demo" / "data"))
BROKERS = os.environ.get("FOREBAY_BROKERS", "localhost:9092")

HOUR = timedelta(hours=1)
SLIDES = {1: timedelta(minutes=5), 3: timedelta(minutes=15), 24: HOUR}
"""Window in hours -> how finely its tail moves."""


def windows(column: str, function: str, *hours: int) -> list[Aggregation]:
    """One aggregation per window, named `<column>_<function>_<window>`; an empty column counts events."""
    return [
        Aggregation(
            name=f"{column or 'event'}_{function}_{window}h",
            column=column,
            function=function,
            time_window=window * HOUR,
            slide_interval=SLIDES[window],
        )
        for window in hours
    ]


class Topic(NamedTuple):
    """A topic, the column its records are keyed by, and the schema of its events."""

    name: str
    key: str
    schema: str


def stream(topic: Topic, view: str) -> KafkaSource:
    """A topic of JSON events as the source of one view, with the place of that view's history.

    Feast ties one batch source to a Kafka source, so every view declares its own; Forebay reads a
    topic once however many declare it.
    """
    return KafkaSource(
        name=f"{topic.name}/{view}",
        topic=topic.name,
        kafka_bootstrap_servers=BROKERS,
        timestamp_field="event_ms",
        message_format=JsonFormat(schema_json=f"event_ms bigint not null, {topic.schema}"),
        batch_source=FileSource(
            name=f"{view}.history",
            path=str(DATA / "views" / f"{view}.parquet"),
            timestamp_field="event_timestamp",
        ),
        tags={"key": topic.key},
    )


origin = Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING)
destination = Entity(name="destination", join_keys=["dest"], value_type=ValueType.STRING)
carrier = Entity(name="carrier", join_keys=["carrier"], value_type=ValueType.STRING)
plane = Entity(name="plane", join_keys=["tailnum"], value_type=ValueType.STRING)

FLIGHT = (
    "flight_id string not null, carrier string not null, tailnum string, origin string not null, dest string not null"
)

SCHEDULED = Topic(
    "flights.scheduled",
    "tailnum",
    f"{FLIGHT}, distance double, scheduled_minutes double, departure_hour double, weekday bigint, "
    "carrier_code bigint, origin_code bigint",
)
DEPARTURES = Topic("flights.departures", "tailnum", f"{FLIGHT}, dep_delay double not null")
ARRIVALS = Topic("flights.arrivals", "tailnum", f"{FLIGHT}, arr_delay double not null")
WEATHER = Topic(
    "weather.observations",
    "origin",
    "origin string not null, temp double, wind_speed double, precip double, visib double, pressure double, "
    "humid double",
)


def view(name: str, entity: Entity, topic: Topic, aggregations: list[Aggregation]) -> dict[str, Any]:
    """What every stream feature view here is declared with."""
    features = [Field(name=each.name, dtype=Int64 if each.function == "count" else Float64) for each in aggregations]
    return {
        "entities": [entity],
        "source": stream(topic, name),
        "timestamp_field": "event_ms",
        "aggregations": aggregations,
        "schema": features,
        "ttl": timedelta(days=7),
        # A day that is replayed at full speed is scored as of its own time, though rows are up to a day ahead by then.
        "tags": {"scoring_horizon": "1d", "resolution": "1m"},
    }


@stream_feature_view(
    mode="pandas",
    **view(
        "origin_departures",
        origin,
        DEPARTURES,
        [
            *windows("", "count", 1, 3),
            *windows("dep_delay", "mean", 1, 3, 24),
            *windows("dep_delay", "max", 1),
            *windows("dep_delay", "std", 3),
            *windows("late", "mean", 1, 3, 24),
        ],
    ),
)
def origin_departures(events: pd.DataFrame) -> pd.DataFrame:
    """How the origin is doing; a departure more than 15 minutes behind schedule is late."""
    return events.assign(late=(events["dep_delay"] > 15).astype("float64"))


@stream_feature_view(
    mode="pandas",
    **view(
        "destination_arrivals",
        destination,
        ARRIVALS,
        [
            *windows("", "count", 3),
            *windows("arr_delay", "mean", 1, 3, 24),
            *windows("arr_delay", "max", 3),
            *windows("late", "mean", 3, 24),
        ],
    ),
)
def destination_arrivals(events: pd.DataFrame) -> pd.DataFrame:
    """How flights from New York arrive there; more than 15 minutes behind schedule is late."""
    return events.assign(late=(events["arr_delay"] > 15).astype("float64"))


@stream_feature_view(
    mode="pandas",
    **view(
        "carrier_departures",
        carrier,
        DEPARTURES,
        [*windows("dep_delay", "mean", 1, 3, 24), *windows("late", "mean", 3, 24)],
    ),
)
def carrier_departures(events: pd.DataFrame) -> pd.DataFrame:
    """How the carrier is doing out of New York."""
    return events.assign(late=(events["dep_delay"] > 15).astype("float64"))


plane_arrivals = StreamFeatureView(
    name="plane_arrivals",
    **view(
        "plane_arrivals",
        plane,
        ARRIVALS,
        [*windows("", "count", 24), *windows("arr_delay", "last", 24), *windows("arr_delay", "time_since_last", 24)],
    ),
)

plane_departures = StreamFeatureView(
    name="plane_departures",
    **view(
        "plane_departures",
        plane,
        DEPARTURES,
        [
            *windows("dep_delay", "last", 24),
            *windows("dep_delay", "time_since_last", 24),
            *windows("dep_delay", "max", 24),
        ],
    ),
)

origin_schedule = StreamFeatureView(
    name="origin_schedule",
    **view("origin_schedule", origin, SCHEDULED, windows("", "count", 1, 3)),
)

origin_weather = StreamFeatureView(
    name="origin_weather",
    **view(
        "origin_weather",
        origin,
        WEATHER,
        [
            aggregation
            for column in ("temp", "wind_speed", "visib", "pressure", "humid")
            for aggregation in windows(column, "last", 3)
        ]
        + windows("precip", "sum", 3),
    ),
)

plane_facts = FeatureView(
    name="plane_facts",
    entities=[plane],
    schema=[
        Field(name="tailnum", dtype=String),
        Field(name="seats", dtype=Int64),
        Field(name="engines", dtype=Int64),
        Field(name="built", dtype=Float64),
    ],
    source=FileSource(name="planes", path=str(DATA / "planes.parquet"), timestamp_field="event_timestamp"),
    ttl=timedelta(days=0),
)

flight = RequestSource(
    name="flight",
    schema=[
        Field(name="flight_id", dtype=String),
        Field(name="distance", dtype=Float64),
        Field(name="scheduled_minutes", dtype=Float64),
        Field(name="departure_hour", dtype=Float64),
        Field(name="weekday", dtype=Int64),
        Field(name="carrier_code", dtype=Int64),
        Field(name="origin_code", dtype=Int64),
    ],
)


@on_demand_feature_view(
    sources=[flight],
    schema=[
        Field(name="hour", dtype=Float64),
        Field(name="day_of_week", dtype=Int64),
        Field(name="miles", dtype=Float64),
        Field(name="minutes", dtype=Float64),
        Field(name="speed", dtype=Float64),
        Field(name="airline", dtype=Int64),
        Field(name="airport", dtype=Int64),
    ],
    mode="python",
)
def flight_plan(inputs: dict[str, Any]) -> dict[str, Any]:
    """What the schedule alone says."""
    hours = [minutes / 60 if minutes else None for minutes in inputs["scheduled_minutes"]]
    return {
        "hour": inputs["departure_hour"],
        "day_of_week": inputs["weekday"],
        "miles": inputs["distance"],
        "minutes": inputs["scheduled_minutes"],
        "speed": [
            miles / each if miles and each else None for miles, each in zip(inputs["distance"], hours, strict=True)
        ],
        "airline": inputs["carrier_code"],
        "airport": inputs["origin_code"],
    }


@on_demand_feature_view(
    sources=[origin_departures],
    schema=[Field(name="hour_against_day", dtype=Float64), Field(name="hour_against_three", dtype=Float64)],
    mode="python",
)
def origin_trend(inputs: dict[str, Any]) -> dict[str, Any]:
    """The origin's last hour against its last day and its last three hours, in minutes of mean delay."""

    def difference(left: list[Any], right: list[Any]) -> list[Any]:
        return [None if a is None or b is None else a - b for a, b in zip(left, right, strict=True)]

    hour = inputs["dep_delay_mean_1h"]
    return {
        "hour_against_day": difference(hour, inputs["dep_delay_mean_24h"]),
        "hour_against_three": difference(hour, inputs["dep_delay_mean_3h"]),
    }


late_arrival_static = FeatureService(name="late_arrival_static", features=[flight_plan, plane_facts])

late_arrival = FeatureService(
    name="late_arrival",
    features=[
        flight_plan,
        plane_facts,
        origin_departures,
        origin_schedule,
        origin_trend,
        origin_weather,
        destination_arrivals,
        carrier_departures,
        plane_arrivals,
        plane_departures,
    ],
)
