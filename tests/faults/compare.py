"""After a seed: every row is what its events say, and no row is there that no event made."""

from __future__ import annotations

from forebay.store_walk import entity_rows, opened
from pipelines.adapters.redis_store import RedisStore
from pipelines.contract.entity_key import head_field
from pipelines.contract.plan import StreamView
from tests.e2e.checks import expected_row, row_of
from tests.e2e.deployment import Place
from tests.e2e.offline import Entity
from tests.e2e.payments_run import Outcome, Published, outcome


def compare(place: Place, published: Published) -> tuple[int, str]:
    """How many rows were compared, and the first difference; empty if there is none."""
    result = outcome(place, published)
    store = RedisStore(place.redis)
    try:
        return _rows(result, store)
    finally:
        store.close()


def _rows(result: Outcome, store: RedisStore) -> tuple[int, str]:
    rows = 0
    for view, folded in result.views.values():
        for entity, contained in folded.rows.items():
            found, expected = row_of(result.place.plan, store, view, entity), expected_row(view, contained)
            if found != expected:
                return rows, f"view {view.name!r}, entity {entity}: found {found}, expected {expected}"
            rows += 1
        if unexpected := _entities(result.place, view) - folded.rows.keys():
            return rows, f"view {view.name!r}: rows of entities without an event: {sorted(unexpected)}"
    return rows, ""


def _entities(place: Place, view: StreamView) -> set[Entity]:
    """Every entity that has a row of the view."""
    names = [key.name for key in view.join_keys]
    with opened(place.redis) as client:
        return {
            tuple(entity[name] for name in names)
            for key, entity in entity_rows(client, place.plan.project)
            if entity.keys() == set(names) and client.hexists(key, head_field(view))
        }
