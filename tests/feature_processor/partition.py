"""A pipeline on one partition, as after an assignment, and what the oracle says of the rows it writes."""

import time

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from forebay.pipelines.adapters.kafka.producer import DeliveryFailed
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import Feed, Route
from forebay.pipelines.contract.plan.views import JoinKey
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, closed_field, head_field
from forebay.pipelines.contract.store.keys import progress_field, progress_key
from forebay.pipelines.contract.store.progress import decode_progress
from forebay.pipelines.feature_processor.walk.parts import topic_parts
from forebay.pipelines.feature_processor.walk.topic_batch import TopicBatches
from forebay.pipelines.steps.tile_state.row_codec import StoredRow
from forebay.pipelines.steps.windows.aggregate import ViewAggregator
from tests.oracle import Event, Window
from tests.support.build import HOUR, MINUTE, SECOND, SOURCE, START_MS, expected, make_view, rows_of

PROJECT = "shop"
INCARNATION = Incarnation("payments", "id-1", 4)
WINDOWS = [
    Window(each, "amount", *sizes) for each in ("sum", "last") for sizes in ((HOUR, 5 * MINUTE), (MINUTE, SECOND))
]
CARDS = make_view(WINDOWS)
MERCHANTS = make_view(WINDOWS, name="merchant_activity", keys=["merchant"], fingerprint="22" * 8)
ROUTED = Route("shop.merchant.payments", (JoinKey("merchant", "string"),))
ROUTED_INCARNATION = Incarnation(ROUTED.topic, "id-2", 3).routed_from(INCARNATION)
moderately = settings(max_examples=50, deadline=None)
cuts_of = st.lists(st.integers(1, 8), max_size=25)


class Producer:
    """Acknowledges at `flush`, and can fail there."""

    def __init__(self):
        self.queued, self.sent, self.fails = [], [], False

    def produce(self, topic, value, key=None, headers=(), partition=-1, timestamp_ms=-1):
        self.queued.append((topic, partition, key, value, dict(headers)))

    def flush(self):
        if self.fails:
            self.queued.clear()
            raise DeliveryFailed("1 record was not delivered")
        self.sent += self.queued
        self.queued = []

    def to(self, topic):
        return [each for each in self.sent if each[0] == topic]


def topic_batches(
    feed,
    store,
    producer=None,
    incarnation=INCARNATION,
    rekeyer=None,
    schemas=None,
    project=PROJECT,
    monotonic_s=time.monotonic,
    **options,
):
    """What processes a topic, before an assignment."""
    others = {"rekeyer": rekeyer, "schemas": schemas, "monotonic_s": monotonic_s}
    parts = topic_parts(feed, project, store, producer or Producer(), incarnation, **others)
    return TopicBatches(parts, **options)


class OnePartition:
    """A topic of which only one partition is read."""

    def __init__(self, topic, number):
        self.topic, self._number = topic, number

    @property
    def ledger(self):
        return self.topic.partitions[self._number].ledger

    def process(self, records):
        self.topic.process({self._number: records})


def start(store, *views, incarnation=INCARNATION, partition=0, routed=False, rekeyer=None, routes=(), producer=None):
    """One partition, as after an assignment."""
    topic = ROUTED.topic if routed else SOURCE.topic
    feed = Feed(topic, SOURCE, routed, tuple(views), routes)
    batches = topic_batches(feed, store, producer, incarnation, rekeyer)
    batches.assign({partition: 0})
    batches.begin()
    return OnePartition(batches, partition)


def card(entity, at_ms, amount=1.0, **more):
    return Event(entity, START_MS + at_ms, {"amount": amount, **more})


def batches(records, sizes):
    """The records in batches of these sizes, the rest in one."""
    records = list(records)
    for size in sizes:
        if records:
            yield records[:size]
            records = records[size:]
    if records:
        yield records


def row(store, view, entity):
    """(fence offset, last event time, values as of then) of an entity; None if it has no row."""
    key = EntityKeyEncoder(view.join_keys, PROJECT)([entity])
    ((head, closed),) = store.read([(key, [head_field(view), closed_field(view)])])
    aggregate = ViewAggregator(view)
    header = aggregate.codec.header(StoredRow(head, closed))
    if header is None:
        return None
    tiles = aggregate.codec.unpack([StoredRow(head, closed)], [header])
    values = aggregate.evaluate(tiles, np.array([header.last_event_ms])).columns
    return header.offset, header.last_event_ms, rows_of(values)[0]


def folded(view, records, by=lambda event: event.entity):
    """What the oracle says of (offset, event) pairs in order of arrival: entity -> what `row` gives."""
    rows = {}
    for entity in {by(event) for _, event in records}:
        events = [event for _, event in records if by(event) == entity]
        newest = max(event.event_ms for event in events)
        offset = max(offset for offset, event in records if by(event) == entity)
        rows[entity] = (offset, newest, expected(view, events, newest))
    return rows


def rows(store, view, entities):
    found = {entity: row(store, view, entity) for entity in entities}
    return {entity: each for entity, each in found.items() if each is not None}


def progress(store, view=CARDS, topic="payments", partition=0):
    data = store.hashes.get(progress_key(PROJECT, topic, partition), {}).get(progress_field(view))
    return decode_progress(data).offset if data else None


def assert_folded(store, view, entities, pairs):
    """These entities have the rows that the oracle folds from the (offset, event) pairs, and no others."""
    found, oracle = rows(store, view, entities), folded(view, pairs)
    assert {entity: each[:2] for entity, each in found.items()} == {each: oracle[each][:2] for each in oracle}
    for entity, (*_, values) in oracle.items():
        np.testing.assert_array_equal(found[entity][2], values)
