"""Forget: what is removed, what is not, and that a running processor does not bring it back."""

import msgspec
import pytest
import redis

from forebay.pipelines.adapters.kafka.producer import DeliveryFailed
from forebay.pipelines.adapters.redis.forgotten import REMEMBERED_MS, forget_rows
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import Feed
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import JoinKey
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, decode_entity_key, feature_field
from forebay.pipelines.contract.store.keys import held_key
from forebay.pipelines.contract.store.values import decode_value
from forebay.pipelines.errors import SettingsError, StoreRolledBack, StoreUnavailable
from forebay.store.forget import forget, parse_entity
from tests.feature_processor.partition import OnePartition, topic_batches
from tests.oracle import Event, Window
from tests.support.build import HOUR, SOURCE, START_MS, make_view, record

WINDOWS = [Window("count", "", HOUR, HOUR)]
CARDS = make_view(WINDOWS)
PAIRS = make_view(WINDOWS, name="pairs", keys=["merchant", "card"], fingerprint="22" * 8)
PLAN = Plan(PLAN_FORMAT, "shop", "0" * 16, "", (SOURCE,), (CARDS, PAIRS), (), (), ())


class Silent:
    def produce(self, *args, **kwargs):
        raise DeliveryFailed("nothing should be produced")

    def flush(self):
        pass


def pipeline(store, views=(CARDS, PAIRS)):
    feed = Feed(SOURCE.topic, SOURCE, False, views, ())
    shared = topic_batches(feed, store, Silent(), Incarnation(SOURCE.topic, "id", 1))
    shared.assign({0: 0})
    shared.begin()
    return OnePartition(shared, 0)


def payment(at, card, merchant="m"):
    return record(at, Event(card, START_MS + at, {"amount": 1.0, "merchant": merchant}))


def keys(address):
    host, port = address.split(":")
    client = redis.Redis(host, int(port))
    found = [decode_entity_key(key, "shop") for key in client.scan_iter()]
    client.close()
    return sorted(str(each) for each in found if each)


class TestRows:
    def test_every_row_with_the_entity_goes_and_no_other(self, valkey):
        """Also rows of composite keys; a value that merely contains it, or stands under another name, stays."""
        store = RedisStore(valkey)
        at_all = [payment(0, "a*"), payment(1, "a*", "other"), payment(2, "xa*x"), payment(3, "b", "a*")]
        pipeline(store).process(at_all)
        removed = forget(PLAN, valkey, {"card": "a*"})
        assert sorted(map(str, removed.rows)) == sorted(
            map(str, [{"card": "a*"}, {"card": "a*", "merchant": "m"}, {"card": "a*", "merchant": "other"}])
        )
        assert keys(valkey) == sorted(
            map(
                str,
                [{"card": "xa*x"}, {"card": "b"}, {"card": "b", "merchant": "a*"}, {"card": "xa*x", "merchant": "m"}],
            )
        )
        store.close()

    def test_it_is_not_named_among_rows_that_were_held_back_either(self, valkey):
        store = RedisStore(valkey)
        views = [msgspec.structs.replace(view, publish_every_ms=60_000) for view in (CARDS, PAIRS)]
        processor = pipeline(store, views)
        processor.process([payment(0, "a"), payment(1, "b")])
        processor.process([payment(2, "a"), payment(3, "b")])
        forget(PLAN, valkey, {"card": "a"})
        named = [store.read_hash(held_key("shop", view.name, SOURCE.topic, 0)) for view in views]
        assert [[decode_entity_key(key, "shop")["card"] for key in each] for each in named] == [["b"], ["b"]]
        store.close()

    def test_the_topics_that_may_still_name_it_are_said(self, valkey):
        assert forget(PLAN, valkey, {"card": "a"}).topics == ["payments", "payments.dlq", "payments.late"]

    def test_a_store_that_is_away_is_an_error_with_the_repair(self):
        with pytest.raises(StoreUnavailable, match="run it again"):
            forget(PLAN, "127.0.0.1:1", {"card": "a"})


def test_a_running_processor_begins_a_new_row_and_brings_nothing_back(valkey):
    store = RedisStore(valkey)
    running = pipeline(store)
    running.process([payment(0, "a"), payment(1, "a")])
    forget(PLAN, valkey, {"card": "a"})
    running.process([payment(2, "a")])
    key = EntityKeyEncoder(CARDS.join_keys, "shop")(["a"])
    assert decode_value(store.read_hash(key)[feature_field("card_activity", "f0")]) == 1.0
    store.close()


def count(store, name):
    key = EntityKeyEncoder(CARDS.join_keys, "shop")([name])
    return decode_value(store.read_hash(key)[feature_field("card_activity", "f0")])


def test_what_was_forgotten_is_not_folded_when_its_records_are_read_again(valkey):
    """Progress was not written when the process died; in between the row is forgotten."""
    store = RedisStore(valkey)
    first = pipeline(store)
    before = store.read_hash(first.ledger.key)
    first.process([payment(0, "a"), payment(1, "a")])
    store.write_hash(first.ledger.key, before)
    forget(PLAN, valkey, {"card": "a"})
    again = pipeline(store)
    assert again.ledger.offset == -1
    again.process([payment(at, "a") for at in range(4)])
    assert count(store, "a") == 2.0
    store.close()


@pytest.mark.parametrize("at_once", [1, 4])
def test_a_definition_that_is_computed_anew_does_not_bring_it_back(valkey, at_once):
    """It reads all that Kafka retains; what came after the erasure counts."""
    store = RedisStore(valkey)
    pipeline(store).process([payment(0, "a"), payment(1, "b"), payment(2, "a")])
    forget(PLAN, valkey, {"card": "a"})
    changed = make_view([Window("count", "", 2 * HOUR, HOUR)], fingerprint="33" * 8)
    anew = pipeline(store, (changed, PAIRS))
    records = [payment(at, "ab"[at in (1, 5)]) for at in range(6)]
    for start in range(0, 4, at_once):
        anew.process(records[start : start + at_once])
    anew.process(records[4:])  # published by now
    assert (count(store, "a"), count(store, "b")) == (2.0, 2.0)
    store.close()


def test_a_row_that_the_store_lost_is_still_noticed(valkey):
    """It is absent too, but nobody forgot it; nor does it help that it was forgotten once, long before."""
    store = RedisStore(valkey)
    running = pipeline(store)
    running.process([payment(0, "a"), payment(1, "b")])
    forget(PLAN, valkey, {"card": "a"})
    running.process([payment(2, "a")])
    host, port = valkey.split(":")
    with redis.Redis(host, int(port)) as client:
        client.delete(*(EntityKeyEncoder(CARDS.join_keys, "shop")([name]) for name in "ab"))
    for name in "ab":
        with pytest.raises(StoreRolledBack):
            running.process([payment(3, name)])
    store.close()


def test_a_thousand_at_once_cost_one_more_round_of_calls(valkey):
    """No batch is tried again, and no partition read again."""
    store = RedisStore(valkey)
    running = pipeline(store)
    running.process([payment(at, f"c{at}") for at in range(1_000)])
    host, port = valkey.split(":")
    with redis.Redis(host, int(port)) as client:
        forget_rows(client, [EntityKeyEncoder(CARDS.join_keys, "shop")([f"c{at}"]) for at in range(1_000)])
        client.config_resetstat()
        running.process([payment(1_000 + at, f"c{at}") for at in range(1_000)])
        calls = {name: each["calls"] for name, each in client.info("commandstats").items()}
    assert {count(store, f"c{at}") for at in range(1_000)} == {1.0}
    assert calls["cmdstat_hmget"] <= 5_000
    store.close()


def test_what_remembers_a_forgotten_row_names_no_entity_and_goes_by_itself(valkey):
    store = RedisStore(valkey)
    pipeline(store).process([payment(0, "4556-secret")])
    forget(PLAN, valkey, {"card": "4556-secret"})
    host, port = valkey.split(":")
    with redis.Redis(host, int(port)) as client:
        keys_left = list(client.scan_iter(match="forebay:forgotten:*"))
        assert len(keys_left) == 2
        for key in keys_left:
            assert b"secret" not in key + b"".join(client.hgetall(key).values())
            assert 0 < client.pttl(key) <= REMEMBERED_MS
    store.close()


class TestEntity:
    def test_texts_are_parsed_by_the_join_keys_type(self):
        numbered = make_view(WINDOWS)
        numbered = type(numbered)(
            **{name: getattr(numbered, name) for name in numbered.__struct_fields__}
            | {"join_keys": (JoinKey("card", DataType.INT64),)}
        )
        plan = Plan(PLAN_FORMAT, "shop", "0" * 16, "", (SOURCE,), (numbered,), (), (), ())
        assert parse_entity(plan, ["card=7"]) == {"card": 7}
        with pytest.raises(SettingsError, match="int64"):
            parse_entity(plan, ["card=seven"])

    @pytest.mark.parametrize("text", ["card", "cart=7", ""])
    def test_a_text_that_names_no_join_key_is_refused_with_the_known_ones(self, text):
        with pytest.raises(SettingsError, match="card, merchant"):
            parse_entity(PLAN, [text])


class TestDecoding:
    @pytest.mark.parametrize(
        ("dtype", "value"),
        [(DataType.STRING, "ü*"), (DataType.INT32, -5), (DataType.INT64, 2**40)],
    )
    def test_a_key_says_what_was_encoded(self, dtype, value):
        keys = (JoinKey("b", dtype), JoinKey("a", DataType.STRING))
        assert decode_entity_key(EntityKeyEncoder(keys, "shop")([value, "x"]), "shop") == {"a": "x", "b": value}

    @pytest.mark.parametrize("key", [b"", b"shop", b"\x01\0\0\0shop", b"forebay:progress:shop", b"\xff" * 30 + b"shop"])
    def test_other_keys_are_no_rows(self, key):
        assert decode_entity_key(key, "shop") is None
