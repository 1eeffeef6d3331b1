"""Event time: numbers of any unit, and datetimes, to ms since the epoch; and which of them are times to believe."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple, overload

from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import TimeUnit

PER_SECOND: dict[TimeUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

EARLIEST_MS = 31_536_000_000
"""1971-01-01. Seconds up to the year 2100, read as milliseconds, all lie before it."""
LATEST_MS = 4_102_444_800_000
"""2100-01-01. Microseconds and nanoseconds since 1971, read as milliseconds, all lie after it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@overload
def to_event_ms(value: int | datetime, unit: TimeUnit = "ms") -> int: ...
@overload
def to_event_ms(value: None, unit: TimeUnit = "ms") -> None: ...
def to_event_ms(value: int | datetime | None, unit: TimeUnit = "ms") -> int | None:
    """Converts an event time to ms since the epoch, rounded down; a time without zone is UTC.

    Args:
        unit: of a whole number.
    """
    if value is None:
        return None
    if isinstance(value, int):
        return value * 1_000 // PER_SECOND[unit]
    zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
    # Not timestamp(): as a float it can fall a millisecond short.
    return (zoned - _EPOCH) // _MILLISECOND


def earliest_ms(source: Source) -> int:
    """Returns the earliest time that an event of a source may have."""
    return 0 if source.old_times else EARLIEST_MS


class Meant(NamedTuple):
    """The unit in which a number is a time, and the year that it is then in."""

    unit: TimeUnit
    year: int


def meant_by(value: int) -> Meant | None:
    """Finds the unit in which a number is a time to believe; None if there is none."""
    for unit, per_second in PER_SECOND.items():
        at_ms = value * 1_000 // per_second
        if EARLIEST_MS <= at_ms <= LATEST_MS:
            return Meant(unit, (_EPOCH + timedelta(milliseconds=at_ms)).year)
    return None


def why_refused(value: int | datetime, source: Source) -> str | None:
    """Says what is wrong with an event time, and the repair; None for a time to believe.

    A number in another unit than the source's is nearly always a time before 1971 or after 2100. The unit in which
    it is neither is then the one that was meant.
    """
    event_ms = to_event_ms(value, source.time_unit)
    if earliest_ms(source) <= event_ms <= LATEST_MS:
        return None
    when = "after 2100" if event_ms > LATEST_MS else "before 1971" if event_ms >= 0 else "before 1970"
    if isinstance(value, datetime):
        text = f"{value.isoformat()} is {when}"
    else:
        text = f"{value} is a time {when}, if it is {source.time_unit} since the epoch"
        if meant := meant_by(value):
            tag = f"'time_unit': '{meant.unit}'"
            return f"{text}, and in {meant.year}, if it is {meant.unit}: give the source the tag {tag}"
    if when == "before 1971":
        return f"{text}: correct the producer, or give the source the tag 'old_times': 'allow'"
    return f"{text}: correct the producer"
