"""Rebuild: a view is cleared, its neighbours in the same hash are not, and it is computed anew."""

import re

import msgspec
import pytest
import redis
from confluent_kafka import Consumer

from forebay.local.topics import create_topics
from forebay.pipelines.adapters.kafka.admin import group_name
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import Feed, route_for
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.types import EventId
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, feature_field, ids_field
from forebay.pipelines.contract.store.keys import held_key
from forebay.pipelines.contract.store.values import decode_value
from forebay.pipelines.errors import ProgressMismatch, SettingsError, StoreUnavailable
from forebay.pipelines.feature_processor.walk.rekey import Rekeyer
from forebay.store.rebuild import check_stopped, clear_view
from tests.feature_processor.partition import (
    OnePartition,
    Producer,
    topic_batches,
)
from tests.oracle import Event, Window
from tests.support.build import HOUR, SOURCE, START_MS, make_view, record

WINDOWS = [Window("count", "", HOUR, HOUR)]
CARDS = make_view(WINDOWS)
OTHERS = make_view(WINDOWS, name="others", fingerprint="22" * 8)
PAIRS = make_view(WINDOWS, name="pairs", keys=["merchant", "card"], fingerprint="33" * 8)
MERCHANTS = make_view(WINDOWS, name="merchants", keys=["merchant"], fingerprint="44" * 8)
PLAN = Plan(PLAN_FORMAT, "shop[1]", "0" * 16, "", (SOURCE,), (CARDS, OTHERS, PAIRS), (), (), ())
FIRST, SECOND = Incarnation(SOURCE.topic, "first incarnation", 1), Incarnation(SOURCE.topic, "second incarnation", 1)


class NoProducer:
    def produce(self, *args, **kwargs):
        raise AssertionError("nothing should be produced")

    def flush(self):
        pass


def pipeline(store, incarnation, *views):
    shared = topic_batches(
        Feed(SOURCE.topic, SOURCE, False, views, ()), store, NoProducer(), incarnation, project=PLAN.project
    )
    shared.assign({0: 0})
    shared.begin()
    return OnePartition(shared, 0)


def payments(count):
    return [record(at, Event("a", START_MS + at, {"amount": 1.0, "merchant": "m"})) for at in range(count)]


def count_of(store, view):
    key = EntityKeyEncoder(view.join_keys, PLAN.project)(
        [{"card": "a", "merchant": "m"}[k.name] for k in view.join_keys]
    )
    value = store.read_hash(key).get(feature_field(view.name, "f0"))
    return None if value is None else decode_value(value)


def test_a_topic_made_anew_is_refused_until_the_view_is_rebuilt(valkey):
    """The command that the error names is the repair."""
    store = RedisStore(valkey)
    pipeline(store, FIRST, CARDS, OTHERS, PAIRS).process(payments(5))
    with pytest.raises(ProgressMismatch, match="forebay rebuild card_activity"):
        pipeline(store, SECOND, CARDS)
    cleared = clear_view(PLAN, CARDS, valkey)
    assert (cleared.rows, cleared.partitions, cleared.topic) == (1, 1, "payments")
    assert [count_of(store, view) for view in (CARDS, OTHERS, PAIRS)] == [None, 5.0, 5.0]
    pipeline(store, SECOND, CARDS).process(payments(3))
    assert [count_of(store, view) for view in (CARDS, OTHERS, PAIRS)] == [3.0, 5.0, 5.0]
    with pytest.raises(ProgressMismatch, match="forebay rebuild others"):
        pipeline(store, SECOND, OTHERS)
    store.close()


def test_rebuilding_on_the_same_topic_gives_the_same_rows(valkey):
    store = RedisStore(valkey)
    pipeline(store, FIRST, CARDS).process(payments(5))
    client = redis.Redis(port=int(valkey.split(":")[1]))
    key = EntityKeyEncoder(CARDS.join_keys, PLAN.project)(["a"])
    before = client.hgetall(key)
    clear_view(PLAN, CARDS, valkey)
    again = pipeline(store, FIRST, CARDS)
    assert again.ledger.offset == -1
    again.process(payments(5))
    assert client.hgetall(key) == before
    client.close()
    store.close()


def test_a_rebuilt_view_of_another_entity_is_routed_again_from_the_beginning(valkey):
    store, producer = RedisStore(valkey), Producer()
    route = route_for(PLAN.project, SOURCE, MERCHANTS)
    feed = Feed(SOURCE.topic, SOURCE, False, (CARDS,), (route,))

    def started():
        rekeyer = Rekeyer([route], {route.topic: Incarnation(route.topic, "id", 1)}, producer)
        shared = topic_batches(feed, store, producer, FIRST, rekeyer, project=PLAN.project)
        shared.assign({0: 0})
        shared.begin()
        return OnePartition(shared, 0)

    started().process(payments(5))
    assert started().ledger.offset == 4
    clear_view(msgspec.structs.replace(PLAN, stream_views=(CARDS, MERCHANTS)), MERCHANTS, valkey)
    again = started()
    assert again.ledger.offset == -1
    again.process(payments(5))
    assert len(producer.sent) == 10
    assert count_of(store, CARDS) == 5.0
    store.close()


def test_every_definition_of_a_view_goes(valkey):
    store, changed = RedisStore(valkey), msgspec.structs.replace(CARDS, fingerprint="99" * 8)
    for view in (CARDS, changed):
        pipeline(store, FIRST, view).process(payments(5))
    clear_view(PLAN, CARDS, valkey)
    key = EntityKeyEncoder(CARDS.join_keys, PLAN.project)(["a"])
    assert store.read_hash(key) == {}
    store.close()


def test_rows_that_were_held_back_are_named_no_more_but_those_of_other_views(valkey):
    store, keys = RedisStore(valkey), []
    for view in (CARDS, OTHERS):
        held_back = msgspec.structs.replace(view, publish_every_ms=60_000)
        processor = pipeline(store, FIRST, held_back)
        processor.process(payments(5)[:3])
        processor.process(payments(5)[3:])
        keys.append(held_key(PLAN.project, view.name, SOURCE.topic, 0))
    assert [len(store.read_hash(key)) for key in keys] == [1, 1]
    clear_view(PLAN, CARDS, valkey)
    assert [len(store.read_hash(key)) for key in keys] == [0, 1]
    store.close()


def test_what_a_view_remembers_of_its_events_is_cleared_with_it(valkey):
    """Else the same events, read again, would be duplicates of themselves."""
    named = msgspec.structs.replace(CARDS, event_id=EventId("items", HOUR))
    store = RedisStore(valkey)
    events = [record(at, Event("a", START_MS, {"items": at})) for at in range(5)]
    pipeline(store, FIRST, named).process(events)
    key = EntityKeyEncoder(named.join_keys, PLAN.project)(["a"])
    before = store.read_hash(key)
    assert len(before[ids_field(named)]) == 5 * 16
    clear_view(PLAN, named, valkey)
    assert store.read_hash(key) == {}
    pipeline(store, FIRST, named).process(events)
    assert store.read_hash(key) == before
    store.close()


def test_a_store_that_is_away_is_an_error_with_the_repair():
    with pytest.raises(StoreUnavailable, match="run it again"):
        clear_view(PLAN, CARDS, "127.0.0.1:1")


@pytest.mark.kafka
@pytest.mark.parametrize("definition", [(), ("one to come",)])
def test_it_is_refused_while_a_processor_runs(kafka, definition):
    """Or a process that it has started, and that it may have left behind when it was killed."""
    check_stopped(PLAN, kafka.bootstrap)
    create_topics(kafka.bootstrap, {"rebuild.payments": 1})
    group = group_name(PLAN.project, "process", *definition)
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group})
    consumer.subscribe(["rebuild.payments"])
    while not consumer.assignment():
        consumer.poll(0.1)
    with pytest.raises(SettingsError, match=rf"1 in group '{re.escape(group)}'\): stop them"):
        check_stopped(PLAN, kafka.bootstrap)
    consumer.close()
    check_stopped(PLAN, kafka.bootstrap)
