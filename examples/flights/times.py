"""Local times of airports to UTC."""

from __future__ import annotations

import pandas as pd

ORIGIN_ZONE = "America/New_York"
"""All three origins (EWR, JFK, LGA)."""

ZONES_NOT_LISTED = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
"""Destinations that the data set's table of airports lacks."""


def minutes_after_midnight(hhmm: pd.Series) -> pd.Series:
    """515 means 5:15, that is 315 minutes; 2400 means the midnight that ends the day."""
    return hhmm // 100 * 60 + hhmm % 100


def to_utc(local: pd.Series, zone: str) -> pd.Series:
    """Naive local times to UTC.

    An hour that the clocks repeat is taken as its first run; one that they skip moves to the next
    valid minute. In 2013 no scheduled time of the data set falls into either.
    """
    zoned = local.dt.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
    return zoned.dt.tz_convert("UTC")


def zone_of(airports: pd.DataFrame) -> dict[str, str]:
    """Airport code to time zone name, for all destinations of the data set."""
    return dict(zip(airports["faa"], airports["tzone"], strict=True)) | ZONES_NOT_LISTED


def to_ms(times: pd.Series) -> pd.Series:
    """UTC times to ms since the epoch, int64."""
    return times.dt.as_unit("ms").astype("int64")
