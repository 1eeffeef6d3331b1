"""Plans, events and records for tests of the engine: small, and made by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import dill
import numpy as np
import pandas as pd

from forebay.pipelines.contract.kafka.record import Record
from forebay.pipelines.contract.plan.functions import PARAMETRIC, parse_function, spelled
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column, DataType, EventId, Function
from forebay.pipelines.contract.plan.views import Aggregation, Feature, JoinKey, StreamView, Udf
from forebay.pipelines.steps.events import EventBatch
from forebay.pipelines.steps.made_columns import MadeColumns
from forebay.pipelines.steps.tile_state.row_codec import ABSENT, StoredRow
from forebay.pipelines.steps.windows.aggregate import ViewAggregator
from forebay.pipelines.steps.windows.columns import AggregatedColumns
from forebay.pipelines.steps.windows.fold import NO_TILE, Events
from tests.oracle import Event, Window, value_as_of

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
START_MS = 1_356_998_400_000
"""2013-01-01, the start of an hour and of every tile used here."""

WRITTEN_MS = START_MS + 24 * HOUR
"""Kafka's timestamp of the records."""

INCARNATION = b"topic id"

TEXTS = ("card", "merchant")

SOURCE = Source(
    "payments",
    "payments",
    "127.0.0.1:1",
    "json",
    (
        Column("event_ms", DataType.INT64, required=True),
        Column("card", DataType.STRING),
        Column("merchant", DataType.STRING),
        Column("amount", DataType.FLOAT64),
        Column("items", DataType.INT64),
        Column("declined", DataType.BOOL),
    ),
    "event_ms",
    ("card",),
)

WINDOWS = ((3 * SECOND, SECOND), (5 * MINUTE, MINUTE), (HOUR, 5 * MINUTE), (HOUR, HOUR))
"""(window, slide): seconds, minutes, a slide shared by no other, and a tumbling one."""


def make_view(
    windows: Sequence[Window],
    *,
    name: str = "card_activity",
    keys: Sequence[str] = ("card",),
    udf: Any = None,
    mode: str = "pandas",
    fingerprint: str = "11" * 8,
    ttl_ms: int = 0,
    event_id: EventId | None = None,
    scoring_horizon_ms: int = HOUR,
    resolution_ms: int | None = None,
    incomplete: Literal["refuse", "null", "serve"] = "refuse",
) -> StreamView:
    """A view on `SOURCE` with these aggregations; numbers are Float64."""
    aggregations = tuple(
        Aggregation(
            f"f{at}",
            each.column,
            function,
            each.window_ms,
            each.slide_ms,
            parameter,
            text=function.keeps_values and each.column in TEXTS,
        )
        for at, each in enumerate(windows)
        for function, parameter in [parse_function(each.function)]
    )
    return StreamView(
        name,
        tuple(JoinKey(key, DataType.STRING) for key in keys),
        SOURCE.name,
        "event_ms",
        aggregations,
        tuple(Feature(each.name, _feature_type(each)) for each in aggregations),
        udf=None if udf is None else Udf("udf", mode, dill.dumps(udf, recurse=True), "udf"),
        fingerprint=fingerprint,
        ttl_ms=ttl_ms,
        event_id=event_id,
        scoring_horizon_ms=scoring_horizon_ms,
        resolution_ms=resolution_ms,
        incomplete=incomplete,
    )


def _feature_type(aggregation: Aggregation) -> DataType:
    scalar = DataType.STRING if aggregation.text else DataType.FLOAT64
    return DataType(f"array({scalar})") if aggregation.function.makes_lists else scalar


FUNCTIONS = (*(str(each) for each in Function if each not in PARAMETRIC), "p1", "p50", "p99", "decayed_sum_90s")
LISTS = ("last_1", "last_3", "last_100", "top_1", "top_2", "top_100")

ONE_NUMBER = tuple(
    Window(function, column, *sizes)
    for sizes in WINDOWS
    for function, column in [("count", ""), *((each, "amount") for each in FUNCTIONS), ("sum", "items")]
)
"""Every function whose result is one number."""
VALUES = tuple(
    Window(function, column, *sizes)
    for sizes in WINDOWS
    for function, column in [
        *((each, "amount") for each in LISTS),
        *((each, "merchant") for each in (*LISTS, "first", "last", "count_distinct")),
    ]
)
"""Lists of numbers and of texts, and the other functions of texts."""
EVERY_FUNCTION = ONE_NUMBER + VALUES


def record(offset: int, event: Event | dict[str, Any] | bytes | None, headers: Sequence[Any] = ()) -> Record:
    """A Kafka record of an event (its entity is the card), of fields, or of a payload."""
    if isinstance(event, Event):
        event = {"event_ms": event.event_ms, "card": event.entity, **event.values}
    payload = json.dumps(event).encode() if isinstance(event, dict) else event
    return Record(offset, b"key", payload, headers, WRITTEN_MS)


def as_columns(view: StreamView, events: Sequence[Event], entities: Sequence[str]) -> Events:
    """What the view aggregates of the events; an entity's code is its place in `entities`."""
    names = sorted({each.column for each in view.aggregations} - {""})
    frame = pd.DataFrame({name: pd.Series([event.values[name] for event in events], dtype=object) for name in names})
    event_ms = np.array([event.event_ms for event in events], dtype=np.int64)
    batch = EventBatch(SOURCE, [None] * len(events), np.arange(len(events)), event_ms, MadeColumns(frame))
    codes = np.array([entities.index(event.entity) for event in events], dtype=np.int64)
    return Events(codes, event_ms, *AggregatedColumns(view)(batch))


class Folded:
    """Rows of some entities, as the engine's own fold makes them, in a dictionary."""

    def __init__(self, view: StreamView) -> None:
        self.view = view
        self.aggregate = ViewAggregator(view)
        self.rows: dict[str, StoredRow] = {}

    def add(self, events: Sequence[Event], first_offset: int) -> Folded:
        """Folds one batch of consecutive records."""
        entities = sorted({event.entity for event in events})
        batch = as_columns(self.view, events, entities)
        offsets = np.arange(first_offset, first_offset + len(events))
        stored = [self.rows.get(entity, ABSENT) for entity in entities]
        result = self.aggregate(stored, batch, offsets, INCARNATION, np.zeros(len(stored), dtype=np.int64))
        for entity, row in zip(result.entities.tolist(), result.rows, strict=True):
            self.rows[entities[entity]] = row
        return self

    def values(self, entities: Sequence[str], as_of_ms: Sequence[int]) -> list[list[Any]]:
        """Feature values, one row per entity."""
        rows = [self.rows.get(entity, ABSENT) for entity in entities]
        headers = [self.aggregate.codec.header(row) for row in rows]
        tiles = self.aggregate.codec.unpack(rows, headers)
        return rows_of(self.aggregate.evaluate(tiles, np.array(as_of_ms, dtype=np.int64)).columns)

    def whole_from_ms(self, entities: Sequence[str], removed_before_ms: int = NO_TILE) -> list[list[int]]:
        """Per entity and feature, from when on the window is whole."""
        rows = [self.rows.get(entity, ABSENT) for entity in entities]
        whole_from = self.aggregate.codec.whole_from(rows, [self.aggregate.codec.header(row) for row in rows])
        return rows_of(self.aggregate.evaluate.whole_from_ms(whole_from, removed_before_ms))


def rows_of(columns: Sequence[Any]) -> list[list[Any]]:
    """Values by row instead of by column."""
    return [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def same(found: Any, wanted: Any) -> None:
    """Equal to the last bit; null and NaN are one, and so are zero and minus zero."""
    assert exact(found) == exact(wanted)


def exact(value: Any) -> Any:
    """A value, or rows of them, in a form that is equal only where its bits are."""
    if isinstance(value, pd.DataFrame):
        value = value.to_numpy(dtype=object)
    if isinstance(value, np.ndarray | pd.Series):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [exact(each) for each in value]
    if value is None or value != value:
        return None
    return (value + 0.0).hex() if isinstance(value, int | float) else value


def expected(view: StreamView, events: Sequence[Event], as_of_ms: int) -> list[Any]:
    """The oracle's values of one entity's events, in the order of the view's features."""
    return [
        value_as_of(Window(spelled(each), each.column, each.window_ms, each.slide_ms, view.head_ms), events, as_of_ms)
        for each in view.aggregations
    ]
