"""What must hold after any run, however bad its day was."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, feature_field, timestamp_field
from forebay.pipelines.contract.store.list_values import decode_list
from forebay.pipelines.contract.store.values import decode_timestamp, decode_value
from forebay.serving.features.rows import StreamRows
from tests.e2e.offline import At, Contained, Entity, bits, position, window_values
from tests.e2e.payments_run import Outcome


def check_predictions(result: Outcome) -> None:
    """One prediction per event, ids distinct, features to the bit those of an offline fold up to its fences."""
    sources = Counter(position(each["source"]) for each in result.predictions)
    assert sources == dict.fromkeys(result.published.payments, 1)
    assert len({each["id"] for each in result.predictions}) == len(result.published.payments)
    for prediction in result.predictions:
        expected = result.expected_features(prediction)
        found = prediction["features"]
        assert {name: bits(at) for name, at in found.items()} == {name: bits(at) for name, at in expected.items()}


def check_rows(result: Outcome) -> None:
    """Every row holds all events of its entity, to the bit."""
    store = RedisStore(result.place.redis)
    for view, folded in result.views.values():
        assert not folded.late
        for entity, contained in folded.rows.items():
            check_row(result, store, view, entity, contained)
    store.close()


def check_row(result: Outcome, store: RedisStore, view: StreamView, entity: Entity, contained: list[Contained]) -> None:
    """The row holds all events of its entity, as its packed fields and as Feast's own fields say."""
    assert row_of(result.place.plan, store, view, entity) == expected_row(view, contained)


class Row(NamedTuple):
    """What is compared of a row; numbers to the last bit."""

    fence: At | None
    newest_ms: float
    packed: list[Any]
    """The windows as of the newest event, by Forebay's packed fields."""
    feast: list[Any]
    """The same by Feast's own fields."""


def expected_row(view: StreamView, contained: list[Contained]) -> Row:
    """The row of these events."""
    newest_ms = max(each.event.event_ms for each in contained)
    values = list(map(bits, window_values(view, [each.event for each in contained], newest_ms)))
    return Row(contained[-1].at, newest_ms, values, values)


def row_of(plan: Plan, store: RedisStore, view: StreamView, entity: Entity) -> Row:
    """The row in the store."""
    rows = StreamRows(plan, view)
    key = EntityKeyEncoder(view.join_keys, plan.project)(list(entity))
    names = [feature_field(view.name, feature.name) for feature in view.features]
    (found,) = store.read([(key, [*rows.fields, timestamp_field(view.name), *names])])
    packed_fields, newest, cells = found[: len(rows.fields)], found[len(rows.fields)], found[len(rows.fields) + 1 :]
    newest_ms = decode_timestamp(newest) if newest else -1
    columns = rows.evaluate([packed_fields], np.array([newest_ms]), None)
    packed = [None if value != value else value for value in (column[0] for column in columns.columns)]
    feast = [
        bits(decode_list(cell) if feature.dtype.is_list else decode_value(cell))
        for feature, cell in zip(view.features, cells, strict=True)
    ]
    return Row(position(columns.fences[0]), float(columns.event_ms[0]), list(map(bits, packed)), feast)
