"""What must hold after any run, however bad its day was."""

from __future__ import annotations

from collections import Counter

import numpy as np

from pipelines.adapters.redis_store import RedisStore
from pipelines.contract.entity_key import EntityKeyEncoder, feature_field
from pipelines.contract.plan import StreamView
from pipelines.contract.values import decode_value
from serving.view_rows import StreamRows
from tests.e2e.offline import Contained, Entity, bits, position, window_values
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
    rows = StreamRows(result.place.plan, view)
    key = EntityKeyEncoder(view.join_keys, result.place.plan.project)(list(entity))
    names = [feature_field(view.name, feature.name) for feature in view.features]
    ((head, closed, *cells),) = store.read([(key, [*rows.fields, *names])])
    newest_ms = max(each.event.event_ms for each in contained)
    columns = rows.evaluate([(head, closed)], np.array([newest_ms]))
    packed = [None if value != value else value for value in (float(column[0]) for column in columns.columns)]
    expected = list(map(bits, window_values(view, [each.event for each in contained], newest_ms)))
    assert position(columns.fences[0]) == contained[-1].at
    assert columns.event_ms[0] == newest_ms
    assert list(map(bits, packed)) == expected
    assert [bits(None if cell is None else decode_value(cell)) for cell in cells] == expected
