"""After a seed: every row is what its events say, and no row is there that no event made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from confluent_kafka import Message

from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.kafka.topics import view_topic
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.entity_key import head_field
from forebay.store.walk import entity_rows, opened
from tests.e2e.broker import read_topic
from tests.e2e.checks import expected_row, row_of
from tests.e2e.deployment import Place
from tests.e2e.offline import Arrival, At, Entity, Folded, direct, fold, routed
from tests.e2e.payments import Payment
from tests.e2e.payments_run import Published
from tests.faults.broken import patiently


class Readable(NamedTuple):
    """What rows have to be made of."""

    source: Mapping[At, Payment]
    """What the source topic holds."""
    known: Mapping[At, Payment]
    """The same, and what it held before but a routed topic still holds."""
    routed_from: Mapping[str, Mapping[int, int]] = {}
    """By routed topic and partition the first offset that counts, where that is not the first of all."""

    @classmethod
    def all_of(cls, published: Published) -> Readable:
        """Nothing was lost."""
        return cls(published.payments, published.payments)


def compare(place: Place, readable: Readable) -> tuple[int, str]:
    """How many rows were compared, and the first difference; empty if there is none."""
    store = RedisStore(place.redis)
    rows = 0
    try:
        for view in place.plan.stream_views:
            compared, difference = _compare_view(place, store, view, fold(view, _arrivals(place, view, readable)))
            rows += compared
            if difference:
                return rows, f"view {view.name!r}{difference}"
    finally:
        store.close()
    return rows, ""


def _compare_view(place: Place, store: RedisStore, view: StreamView, folded: Folded) -> tuple[int, str]:
    for number, (entity, contained) in enumerate(folded.rows.items()):
        found, expected = row_of(place.plan, store, view, entity), expected_row(view, contained)
        if found != expected:
            return number, f", entity {entity}: found {found}, expected {expected}"
    unexpected = _entities(place, view) - folded.rows.keys()
    return len(folded.rows), f": rows of entities without an event: {sorted(unexpected)}" if unexpected else ""


def _arrivals(place: Place, view: StreamView, readable: Readable) -> Iterator[Arrival]:
    topic = view_topic(place.plan, view)
    if topic == place.topic:
        return direct(readable.source)
    first = readable.routed_from.get(topic, {})
    messages: list[Message] = patiently(lambda: read_topic(place.brokers, topic), f"all of {topic}")
    return routed((each for each in messages if each.offset() >= first.get(each.partition(), 0)), readable.known)


def _entities(place: Place, view: StreamView) -> set[Entity]:
    """Every entity that has a row of the view."""
    names = [key.name for key in view.join_keys]
    with opened(place.redis) as client:
        return {
            tuple(entity[name] for name in names)
            for key, entity in entity_rows(client, place.plan.project)
            if entity.keys() == set(names) and client.hexists(key, head_field(view))
        }
