"""Forget: what is removed, what is not, and that a running processor does not bring it back."""

import msgspec
import numpy as np
import pytest
import redis

from forebay.pipelines.adapters.kafka.producer import DeliveryFailed
from forebay.pipelines.adapters.redis.forgotten import forget_rows, remember_erasure, secret_of
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import Feed
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import JoinKey
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, decode_entity_key, feature_field
from forebay.pipelines.contract.store.erasure import erasure_key, erasure_keys
from forebay.pipelines.contract.store.keys import held_key
from forebay.pipelines.contract.store.values import decode_value
from forebay.pipelines.errors import SettingsError, StoreRolledBack, StoreUnavailable
from forebay.pipelines.steps.events import EventBatch
from forebay.store.erased import forgotten_entities
from forebay.store.forget import forget, parse_entity
from tests.feature_processor.partition import OnePartition, topic_batches
from tests.oracle import Event, Window
from tests.support.build import HOUR, SOURCE, START_MS, make_view, record
from tests.support.payments import ROOT

WINDOWS = [Window("count", "", HOUR, HOUR)]
CARDS = make_view(WINDOWS)
PAIRS = make_view(WINDOWS, name="pairs", keys=["merchant", "card"], fingerprint="22" * 8)
PLAN = Plan(PLAN_FORMAT, "shop", "0" * 16, "", (SOURCE,), (CARDS, PAIRS), (), (), ())


class Silent:
    def produce(self, *args, **kwargs):
        raise DeliveryFailed("nothing should be produced")

    def flush(self):
        pass


def pipeline(store, views=(CARDS, PAIRS), topic=SOURCE.topic):
    feed = Feed(topic, SOURCE, False, views, ())
    shared = topic_batches(feed, store, Silent(), Incarnation(topic, "id", 1))
    shared.assign({0: 0})
    shared.begin()
    return OnePartition(shared, 0)


def payment(at, card, merchant="m"):
    return record(at, Event(card, START_MS + at, {"amount": 1.0, "merchant": merchant}))


def client_of(address):
    host, port = address.split(":")
    return redis.Redis(host, int(port))


def keys(address):
    with client_of(address) as client:
        found = [decode_entity_key(key, "shop") for key in client.scan_iter()]
    return sorted(str(each) for each in found if each)


CARD_KEY = EntityKeyEncoder(CARDS.join_keys, "shop")


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
    assert count(store, "a") == 1.0
    store.close()


def count(store, name):
    """What the row of a card says; None where there is none."""
    row = store.read_hash(CARD_KEY([name]))
    return decode_value(row[feature_field("card_activity", "f0")]) if row else None


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


@pytest.mark.parametrize("silent", ["a", "b"])
def test_an_entity_whose_rows_had_expired_before_is_forgotten_too(valkey, silent):
    """Its records are still retained: a definition that is computed anew reads them."""
    store = RedisStore(valkey)
    pipeline(store).process([payment(0, "a"), payment(1, "b"), payment(2, "a")])
    with client_of(valkey) as client:
        client.delete(*(key for key in client.scan_iter() if decode_entity_key(key, "shop")))
    assert forget(PLAN, valkey, {"card": silent}).rows == []
    changed = make_view([Window("count", "", 2 * HOUR, HOUR)], fingerprint="33" * 8)
    anew = pipeline(store, (changed, PAIRS))
    anew.process([payment(at, "ab"[at == 1]) for at in range(3)])
    anew.process([payment(3, "a"), payment(4, "b")])  # published by now
    assert (count(store, "a"), count(store, "b")) == ((1.0, 2.0) if silent == "a" else (3.0, 1.0))
    store.close()


def test_whoever_is_part_of_an_entity_is_forgotten_with_it(valkey):
    """A row of the card at a merchant that was not there is not begun with what was before either."""
    store = RedisStore(valkey)
    pipeline(store, (CARDS,)).process([payment(0, "a"), payment(1, "a"), payment(2, "b")])
    forget(PLAN, valkey, {"card": "a"})
    pairs = pipeline(store, (CARDS, PAIRS))
    pairs.process([payment(at, "ab"[at == 2]) for at in range(3)])
    pairs.process([payment(3, "a"), payment(4, "b")])
    key = EntityKeyEncoder(PAIRS.join_keys, "shop")
    found = [store.read_hash(key(["m", card]))[feature_field("pairs", "f0")] for card in "ab"]
    assert [decode_value(each) for each in found] == [1.0, 2.0]
    store.close()


def test_on_a_topic_that_was_made_later_event_time_decides(valkey):
    """Such as a routed topic of a view that is added: its offsets say nothing of what is in it."""
    store = RedisStore(valkey)
    pipeline(store, (CARDS,)).process([payment(0, "a")])
    forget(PLAN, valkey, {"card": "a"})
    now_ms = store.now_ms() + 10_000
    later = record(2, Event("a", now_ms, {"amount": 1.0, "merchant": "m"}))._replace(timestamp_ms=now_ms)
    anew = pipeline(store, (make_view(WINDOWS, fingerprint="33" * 8),), "shop.card.payments")
    anew.process([payment(0, "a"), payment(1, "b"), later])
    assert (count(store, "a"), count(store, "b")) == (1.0, 1.0)
    store.close()


def test_a_row_that_the_store_lost_is_still_noticed(valkey):
    """It is absent too, but nobody forgot it; nor does it help that it was forgotten once, long before."""
    store = RedisStore(valkey)
    running = pipeline(store)
    running.process([payment(0, "a"), payment(1, "b")])
    forget(PLAN, valkey, {"card": "a"})
    running.process([payment(2, "a")])
    with client_of(valkey) as client:
        client.delete(*(CARD_KEY([name]) for name in "ab"))
    for name in "ab":
        with pytest.raises(StoreRolledBack):
            running.process([payment(3, name)])
    store.close()


def test_a_thousand_at_once_cost_one_more_round_of_calls(valkey):
    """No batch is tried again, and no partition read again."""
    store = RedisStore(valkey)
    running = pipeline(store)
    running.process([payment(at, f"c{at}") for at in range(1_000)])
    rows = [CARD_KEY([f"c{at}"]) for at in range(1_000)]
    with client_of(valkey) as client:
        secret = secret_of(client, "shop")
        for row in rows:
            erasure = erasure_key("shop", secret, row)
            remember_erasure(client, erasure, {}, 0)
            forget_rows(client, [row], erasure)
        client.config_resetstat()
        running.process([payment(1_000 + at, f"c{at}") for at in range(1_000)])
        calls = {name: each["calls"] for name, each in client.info("commandstats").items()}
    assert {count(store, f"c{at}") for at in range(1_000)} == {1.0}
    assert calls["cmdstat_hmget"] <= 5_000
    store.close()


@pytest.mark.parametrize(("remembered_ms", "least", "most"), [(60_000, 1, 60_000), (0, -1, -1)])
def test_what_remembers_an_erasure_names_no_entity_and_goes_when_it_shall(valkey, remembered_ms, least, most):
    store = RedisStore(valkey)
    pipeline(store).process([payment(0, "4556-secret")])
    forget(PLAN, valkey, {"card": "4556-secret"}, remembered_ms)
    with client_of(valkey) as client:
        (erasure,) = client.scan_iter(match=erasure_keys("shop"))
        assert b"4556" not in erasure + b"".join(part for each in client.hgetall(erasure).items() for part in each)
        assert least <= client.pttl(erasure) <= most
    store.close()


def test_who_knows_the_entity_and_not_the_secret_cannot_name_its_erasure():
    row = CARD_KEY(["a"])
    assert erasure_key("shop", b"1" * 32, row) != erasure_key("shop", b"2" * 32, row)


@pytest.fixture
def user(valkey):
    """Makes users of the store who may do what docs/operations.md says of a command."""
    made = []

    def with_rights_of(command):
        (rights,) = [
            line.split("|")[3].strip(" `").split()
            for line in (ROOT / "docs" / "operations.md").read_text().splitlines()
            if line.startswith("| `") and f"`{command}`" in line.split("|")[1] and "+@" in line
        ]
        with client_of(valkey) as client:
            client.execute_command("ACL", "SETUSER", "user", "reset", "on", ">secret", "~*", *rights)
            made.append("user")
        return f"{valkey},username=user,password=secret"

    yield with_rights_of
    with client_of(valkey) as client:
        client.acl_deluser(*made)


@pytest.mark.parametrize("remembered_ms", [0, 60_000])
def test_a_user_with_the_rights_of_the_docs_may_forget(valkey, user, remembered_ms):
    store = RedisStore(valkey)
    pipeline(store).process([payment(0, "a")])
    assert len(forget(PLAN, user("forebay forget"), {"card": "a"}, remembered_ms).rows) == 2
    store.close()


def test_a_user_with_the_rights_of_the_docs_may_ask_who_was_forgotten(valkey, user):
    forget(PLAN, valkey, {"card": "a"})
    batch = EventBatch(SOURCE, [], np.empty(0, np.int64), np.empty(0, np.int64))
    assert not len(forgotten_entities(PLAN, user("forebay backfill")).among(batch, {"card"}))


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
