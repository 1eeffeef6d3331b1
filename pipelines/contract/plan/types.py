"""Types of columns and features, and the functions that aggregate them."""

from __future__ import annotations

import enum
from typing import Literal

import msgspec

MAX_EVENT_IDS = 1_024
"""Events of one entity that a row remembers by their ids; one more, and the oldest is forgotten."""

TimeUnit = Literal["s", "ms", "us", "ns"]


class DataType(enum.StrEnum):
    """Types that events, join keys and features may have (Feast's names, lower case); lists only features."""

    STRING = "string"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BOOL = "bool"
    UNIX_TIMESTAMP = "unix_timestamp"
    STRING_LIST = "array(string)"
    INT32_LIST = "array(int32)"
    INT64_LIST = "array(int64)"
    FLOAT32_LIST = "array(float32)"
    FLOAT64_LIST = "array(float64)"
    BOOL_LIST = "array(bool)"
    UNIX_TIMESTAMP_LIST = "array(unix_timestamp)"

    @property
    def is_list(self) -> bool:
        """Whether values of this type are lists."""
        return self.value.startswith("array(")

    @property
    def element(self) -> DataType:
        """The type of a list's elements; of a scalar, the type itself."""
        return DataType(self.value.removeprefix("array(").removesuffix(")"))

    @property
    def is_numeric(self) -> bool:
        """Whether values of this type can be held in a float64 column."""
        return self is not DataType.STRING and not self.is_list


class Function(enum.StrEnum):
    """Windowed aggregation functions."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    STD = "std"
    VAR = "var"
    FIRST = "first"
    LAST = "last"
    TIME_SINCE_LAST = "time_since_last"
    COUNT_DISTINCT = "count_distinct"
    QUANTILE = "quantile"
    DECAYED_SUM = "decayed_sum"
    LAST_N = "last_n"
    TOP_K = "top_k"

    @property
    def makes_lists(self) -> bool:
        """Whether a result is a list of values."""
        return self in (Function.LAST_N, Function.TOP_K)

    @property
    def keeps_values(self) -> bool:
        """Whether a result consists of values as they came, which may then be texts."""
        return self.makes_lists or self in (Function.FIRST, Function.LAST)


class Column(msgspec.Struct, frozen=True):
    """One column of an event's schema."""

    name: str
    dtype: DataType
    required: bool = False
    """A null or missing value makes the event invalid (the timestamp, and `not null` columns)."""


class EventId(msgspec.Struct, frozen=True):
    """What tells an event that was sent twice from two events (see `forebay.pipelines.steps.duplicates`)."""

    column: str
    """Tag `event_id`: a text or whole number that no other event of the entity has."""
    window_ms: int
    """Tag `event_id_window`: how much older than the newest event of its entity the first one may be."""
