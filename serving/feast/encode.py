"""Encode: answers in Feast's JSON, one column per join key and feature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec

Status = Literal["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE", "INVALID"]

NO_TIME = "1970-01-01T00:00:00Z"
"""What Feast says where there is no row, and of what is not stored."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AnswerColumn(NamedTuple):
    """One join key or feature of n entities."""

    name: str
    values: Sequence[Any]
    statuses: Sequence[Status]
    event_timestamps: Sequence[str]


def present(name: str, values: Sequence[Any], event_timestamps: Sequence[str] | None = None) -> AnswerColumn:
    """Makes a column of which Feast says that all is present, nulls too, and entities without a row."""
    count = len(values)
    return AnswerColumn(name, values, ["PRESENT"] * count, event_timestamps or [NO_TIME] * count)


def encode_answer(columns: Sequence[AnswerColumn], views: Sequence[str] | None) -> bytes:
    """Encodes the body of an answer.

    Args:
        views: the stored views that were read, to be named; None: not asked for.
    """
    metadata: dict[str, Any] = {"feature_names": [column.name for column in columns]}
    if views is not None:
        metadata["feature_view_metadata"] = [{"name": name} for name in views]
    results = [
        {
            "values": [_json_value(value) for value in column.values],
            "statuses": column.statuses,
            "event_timestamps": column.event_timestamps,
        }
        for column in columns
    ]
    return msgspec.json.encode({"results": results, "metadata": metadata})


def timestamp_text(event_us: int | None) -> str:
    """Formats the time in RFC 3339 with 0, 3 or 6 decimals; None is no time."""
    if not event_us:
        return NO_TIME
    time = _EPOCH + timedelta(microseconds=event_us)
    precision = "seconds" if event_us % 1_000_000 == 0 else "milliseconds" if event_us % 1_000 == 0 else "microseconds"
    return time.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def _json_value(value: Any) -> Any:
    """Returns the value, NaN and infinity as texts: JSON has neither."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [_json_value(each) for each in value]
    return value
