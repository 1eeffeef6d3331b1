"""Plans of the measured pipelines, written by hand: the registry is not what is measured."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.types import Column, DataType, Function
from forebay.pipelines.contract.plan.views import Aggregation, Feature, JoinKey, Policy, StreamView
from forebay.pipelines.contract.store.entity_key import closed_field, head_field

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
VIEW = "card_activity"
SERVICE = "card_risk"
DUE_FIELD = "due_us"
"""When the event was due, in microseconds of the benchmark's monotonic clock; predictions carry it back."""

CARD = (JoinKey("card_id", DataType.INT64),)
"""The join key of the view."""

_COLUMNS = (
    Column("card_id", DataType.INT64, required=True),
    Column("event_ms", DataType.INT64, required=True),
    Column("amount", DataType.FLOAT64),
)

EIGHT_FUNCTIONS = (
    *(Function.COUNT, Function.SUM, Function.MEAN, Function.MIN),
    *(Function.MAX, Function.STD, Function.FIRST, Function.LAST),
)

EIGHT = tuple(
    Aggregation(f"amount_{function}_1h", "amount", function, HOUR_MS, HOUR_MS) for function in EIGHT_FUNCTIONS
)
"""Eight functions over a tumbling hour: what the other systems compute too."""

EIGHT_BY_THREE = tuple(
    Aggregation(f"amount_{function}_{name}", "amount", function, window_ms, slide_ms)
    for name, window_ms, slide_ms in (
        ("5m", 5 * MINUTE_MS, MINUTE_MS),
        ("1h", HOUR_MS, 5 * MINUTE_MS),
        ("1d", 24 * HOUR_MS, HOUR_MS),
    )
    for function in EIGHT_FUNCTIONS
)
"""The same over three sliding windows."""

SLIDE_MS = MINUTE_MS
"""Of the windows that `sliding` makes."""

_SCORED = (
    Aggregation("amount_count_5m", "amount", Function.COUNT, 5 * MINUTE_MS, MINUTE_MS),
    Aggregation("amount_mean_1h", "amount", Function.MEAN, HOUR_MS, 5 * MINUTE_MS),
    Aggregation("amount_sum_1h", "amount", Function.SUM, HOUR_MS, 5 * MINUTE_MS),
    Aggregation("amount_max_1d", "amount", Function.MAX, 24 * HOUR_MS, HOUR_MS),
)
SCORED_FEATURES = len(_SCORED)
"""Inputs of the scored model."""


def stream_plan(
    project: str, topic: str, aggregations: Sequence[Aggregation], publish_every_ms: int | None = 0
) -> Plan:
    """One view over the benchmark's topic, which is keyed by the view's entity."""
    plan = _plan(project, topic, aggregations, _COLUMNS, ())
    views = tuple(msgspec.structs.replace(view, publish_every_ms=publish_every_ms) for view in plan.stream_views)
    return msgspec.structs.replace(plan, stream_views=views)


def scored_plan(project: str, topic: str, aggregations: Sequence[Aggregation] = _SCORED) -> Plan:
    """A view, of four features if none are given, and a service that scores them; events may say when they were due."""
    due = Column(DUE_FIELD, DataType.INT64)
    view = ServiceView(VIEW, VIEW, tuple(each.name for each in aggregations))
    service = FeatureService(SERVICE, (view,), request=(due,), join_keys=CARD)
    return _plan(project, topic, aggregations, (*_COLUMNS, due), (service,))


def served_plan(project: str, topic: str, aggregations: Sequence[Aggregation]) -> Plan:
    """The same view, and a service that takes all its features."""
    view = ServiceView(VIEW, VIEW, tuple(each.name for each in aggregations))
    service = FeatureService(SERVICE, (view,), request=(), join_keys=CARD)
    return _plan(project, topic, aggregations, _COLUMNS, (service,))


def _plan(
    project: str,
    topic: str,
    aggregations: Sequence[Aggregation],
    columns: tuple[Column, ...],
    services: tuple[FeatureService, ...],
) -> Plan:
    # Addresses are given on the command line.
    source = Source(topic, topic, "", "json", columns, "event_ms", ("card_id",))
    return Plan(PLAN_FORMAT, project, "11" * 8, "", (source,), (view_of(topic, aggregations),), (), (), services)


def sliding(tiles: int, windows: int) -> list[Aggregation]:
    """Eight functions over windows of the same slide, each one tile shorter than the one before: they share tiles.

    Args:
        tiles: of the longest window.
    """
    return [
        Aggregation(f"amount_{function}_{length}", "amount", function, length * SLIDE_MS, SLIDE_MS)
        for length in range(tiles, tiles - windows, -1)
        for function in EIGHT_FUNCTIONS
    ]


def view_of(source: str, aggregations: Sequence[Aggregation]) -> StreamView:
    """The view of all plans, with these aggregations."""
    # A score that is no number is no prediction: what is missing counts as 0 in the sum.
    missing = Policy("default", 0.0)
    features = tuple(Feature(each.name, DataType.FLOAT64, missing) for each in aggregations)
    return StreamView(VIEW, CARD, source, "event_ms", tuple(aggregations), features, fingerprint="11" * 8)


HEAD_FIELD, CLOSED_FIELD = (field(view_of("", EIGHT)) for field in (head_field, closed_field))
"""Where the state of that view stands in a row, whatever it aggregates."""
