"""Time travel: the payments repo as its author would test it, without broker or store."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.plan_file import read_plan
from forebay.pipelines.contract.plan.services import FeatureService, ServiceView
from forebay.pipelines.contract.plan.types import DataType
from forebay.pipelines.contract.plan.views import BatchView, Feature, JoinKey
from forebay.pipelines.errors import RequestError, SettingsError
from forebay.pipelines.steps.decode.framing import frame
from forebay.time_travel import DECLARED_SCHEMA_ID, DeadLettersFound, TimeTravel
from tests.oracle import Event, Window
from tests.steps.test_decode_avro import source_of
from tests.steps.test_decode_protobuf import FRAMED
from tests.steps.test_decode_protobuf import SOURCE as PROTOBUF
from tests.support.build import HOUR, MINUTE, SOURCE, START_MS, expected, make_view
from tests.support.payments import ROOT
from tests.support.wire import avro, avro_record, field

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
PAYMENTS = "payments.authorised"


def payment(number, at, card=7, merchant="m", cents=1_000, declined=False):
    return {
        "payment_id": f"p{number}",
        "event_time": at,
        "card_id": card,
        "merchant_id": merchant,
        "amount_cents": cents,
        "declined": declined,
    }


@pytest.fixture(scope="module")
def plan(payments):
    return read_plan(payments / "plan.bin")


@pytest.fixture
def travel(plan):
    return TimeTravel(plan)


def asked(travel, at, **changed):
    return travel.features("fraud", at, **({"card_id": 7, "merchant_id": "m", "amount_cents": 3_000} | changed))


def test_the_readmes_example_holds(payments, tmp_path, monkeypatch):
    (tmp_path / ".forebay").mkdir()
    (tmp_path / ".forebay" / "plan.msgpack").write_bytes((payments / "plan.bin").read_bytes())
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text().partition("<!-- time travel -->")[2].partition("<!-- /time travel -->")[0]
    code = "".join(line.removeprefix("    ") for line in text.splitlines(keepends=True))
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    (test,) = [each for name, each in names.items() if name.startswith("test_")]
    test()


class TestPayments:
    def test_windows_are_as_of_the_time_asked_for(self, travel):
        """A card that stops paying has no payments in the last hour, without anyone writing."""
        travel.feed(PAYMENTS, payment(1, NOON), payment(2, NOON + timedelta(minutes=1), cents=2_000))
        features = asked(travel, NOON + timedelta(minutes=2))
        assert features["card_activity__payments_count_1h"] == 2
        assert features["card_activity__amount_mean_1h"] == 15.0
        assert features["amount_ratio__amount_to_mean"] == 2.0
        later = asked(travel, NOON + timedelta(hours=2))
        assert later["card_activity__payments_count_1h"] == 0
        assert later["amount_ratio__amount_to_mean"] is None

    def test_the_newest_and_the_most_frequent_values_are_lists(self, travel):
        paid = [("m", 1_000), ("é", 2_000), ("é", None), (None, 2_500)]
        travel.feed(
            PAYMENTS,
            *(payment(at, NOON + timedelta(minutes=at), merchant=m, cents=c) for at, (m, c) in enumerate(paid)),
        )
        asked = {"card_id": 7, "amount_cents": 2_200}
        assert travel.features("review", NOON + timedelta(hours=1), **asked) == {
            "card_habits__last_amounts": [2_500, 2_000, 1_000],
            "card_habits__top_merchants": ["é", "m"],
            "card_habits__last_merchant": "é",
            "habit__lower_amounts": 2,
            "habit__top_is_last": 1,
        }
        assert travel.features("review", NOON + timedelta(days=2), **asked)["card_habits__last_amounts"] == []

    def test_routed_views_work_as_everywhere(self, travel):
        travel.feed(PAYMENTS, *(payment(at, NOON, card=at, declined=at % 2 == 0) for at in range(8)))
        assert asked(travel, NOON)["merchant_activity__declined_mean_1h"] == 0.5

    def test_a_payment_that_is_sent_twice_counts_once(self, travel):
        """By its id, wherever it is sent from, for as long as ids are remembered: 5 minutes of the payments."""
        sent = payment(1, NOON)
        travel.feed(PAYMENTS, sent, sent, sent | {"amount_cents": 5})
        travel.feed(PAYMENTS, sent, payment(2, NOON))
        assert asked(travel, NOON)["card_activity__payments_count_1h"] == 2
        assert asked(travel, NOON)["card_activity__amount_mean_1h"] == 10.0
        travel.feed(PAYMENTS, payment(3, NOON + timedelta(minutes=5)), sent)
        assert asked(travel, NOON + timedelta(minutes=5))["card_activity__payments_count_1h"] == 3
        travel.feed(PAYMENTS, payment(4, NOON + timedelta(minutes=5, milliseconds=1)), sent)
        assert asked(travel, NOON + timedelta(minutes=6))["card_activity__payments_count_1h"] == 5

    def test_what_came_into_no_view_can_be_looked_at(self, plan):
        travel = TimeTravel(plan, collect_dead_letters=True)
        travel.feed(PAYMENTS, payment(1, NOON), payment(2, NOON - timedelta(days=30)), b"garbage", {"card_id": 7})
        assert {(each.topic, each.reason) for each in travel.refused} == {
            ("payments.authorised.dlq", "decode"),
            ("payments.authorised.dlq", "invalid"),
            ("payments.authorised.late", "late"),
        }
        assert asked(travel, NOON)["card_activity__payments_count_1h"] == 1

    def test_a_dead_letter_is_an_error_and_the_other_events_count(self, travel):
        """Each time it is fed, also after others."""
        travel.feed(PAYMENTS, payment(1, NOON))
        for number in (2, 3):
            with pytest.raises(DeadLettersFound, match=r"1 of 2 .*decode.*collect_dead_letters"):
                travel.feed(PAYMENTS, b"garbage", payment(number, NOON))
        travel.feed(PAYMENTS, payment(4, NOON))
        assert asked(travel, NOON)["card_activity__payments_count_1h"] == 4

    def test_a_late_event_is_none(self, travel):
        travel.feed(PAYMENTS, payment(1, NOON), payment(2, NOON - timedelta(days=30)))
        assert {each.reason for each in travel.refused} == {"late"}

    @pytest.mark.parametrize("year", [1971, 2026, 2099])
    def test_time_is_what_the_events_say_and_not_this_machines(self, travel, year):
        at = datetime(year, 1, 5, 12, tzinfo=UTC)
        travel.feed(PAYMENTS, payment(1, at), payment(2, at + timedelta(minutes=1)))
        assert asked(travel, at + timedelta(minutes=2))["card_activity__payments_count_1h"] == 2

    def test_a_question_that_does_not_fit_is_refused_with_its_path(self, travel):
        with pytest.raises(RequestError, match=r"\$\.card_id"):
            asked(travel, NOON, card_id="seven")
        with pytest.raises(RequestError, match="zone"):
            asked(travel, datetime(2026, 1, 5))  # noqa: DTZ001

    def test_an_unknown_topic_is_refused_with_the_known_ones(self, travel):
        with pytest.raises(SettingsError, match=PAYMENTS):
            travel.feed("payments.settled", payment(1, NOON))


def plan_of(view, *batch_views, source=SOURCE):
    views = [ServiceView(view.name, view.name, tuple(each.name for each in view.features))]
    views += [ServiceView(each.name, each.name, tuple(one.name for one in each.features)) for each in batch_views]
    service = FeatureService("everything", tuple(views), join_keys=view.join_keys)
    return Plan(PLAN_FORMAT, "shop", "0" * 16, "", (source,), (view,), batch_views, (), (service,))


def test_batch_views_are_materialized_with_their_time():
    limits = BatchView(
        "limits", (JoinKey("card", DataType.STRING),), (Feature("limit", DataType.FLOAT64),), ttl_ms=HOUR
    )
    view = make_view([Window("count", "", HOUR, HOUR)])
    travel = TimeTravel(plan_of(view, limits))
    travel.materialize("limits", START_MS, {"card": "a", "limit": 50.0}, {"card": "b", "limit": None})
    assert travel.features("everything", START_MS + HOUR, card="a")["limits__limit"] == 50.0
    assert travel.features("everything", START_MS + HOUR + 1, card="a")["limits__limit"] is None
    assert travel.features("everything", START_MS, card="b")["limits__limit"] is None
    with pytest.raises(SettingsError, match="limits"):
        travel.materialize("limit", START_MS, {"card": "a", "limit": 1.0})


@settings(max_examples=30, deadline=None)
@given(
    at_s=st.lists(st.integers(0, 3_500), min_size=1, max_size=15),
    amounts=st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=15, max_size=15),
    asked_s=st.integers(3_500, 9_000),
    partitions=st.integers(1, 3),
)
def test_it_gives_what_the_definition_says(at_s, amounts, asked_s, partitions):
    windows = [Window(each, "amount", HOUR, 5 * MINUTE) for each in ("count", "sum", "min", "last", "last_2", "top_2")]
    view = make_view(windows)
    events = [Event("a", START_MS + at * 1_000, {"amount": amount}) for at, amount in zip(at_s, amounts, strict=False)]
    travel = TimeTravel(plan_of(view), partitions)
    travel.feed("payments", *({"event_ms": each.event_ms, "card": "a", **each.values} for each in events))
    found = list(travel.features("everything", START_MS + asked_s * 1_000, card="a").values())
    oracle = [None if value != value else value for value in expected(view, events, START_MS + asked_s * 1_000)]
    assert found == oracle


@pytest.mark.parametrize("card", [7, 8, 9])
def test_an_event_and_the_bytes_of_a_record_are_of_one_entity(travel, card):
    """The record gets the key that its producer would give it."""
    as_bytes = json.dumps(payment(2, NOON.isoformat(), card=card)).encode()
    travel.feed(PAYMENTS, payment(1, NOON, card=card), as_bytes, payment(3, NOON, card=card))
    assert travel.refused == []


SCHEMA = avro_record(
    field("at", {"type": "long", "logicalType": "timestamp-micros"}),
    field("card", "string"),
    field("amount", ["null", "double"]),
    field("channel", "string", default="shop"),
)


def ms(time):
    return int(time.timestamp() * 1_000)


SOURCES = [source_of(SCHEMA, "none"), source_of(SCHEMA, "confluent"), PROTOBUF, FRAMED]


def everything_of(source):
    view = make_view([Window(each, "amount", HOUR, HOUR) for each in ("count", "sum")])
    return TimeTravel(plan_of(view, source=msgspec.structs.replace(source, key=("card",))))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: f"{source.format}, framing {source.framing}")
def test_events_are_encoded_as_their_source_declares(source):
    """Times as `datetime` or ms, absent fields null or the default of the schema."""
    travel = everything_of(source)
    travel.feed(source.topic, {"at": NOON, "card": "a", "amount": 1.5}, {"at": ms(NOON) + 1, "card": "a"})
    travel.feed(source.topic, {"at": NOON, "card": "a", "amount": 2.0})
    assert list(travel.features("everything", NOON + timedelta(minutes=1), card="a").values()) == [2, 3.5]
    assert travel.refused == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: f"{source.format}, framing {source.framing}")
def test_an_event_that_does_not_fit_its_format_is_refused_before_any_other_counts(source):
    travel = everything_of(source)
    with pytest.raises(SettingsError, match=source.topic):
        travel.feed(source.topic, {"at": NOON, "card": "a", "amount": 1.5}, {"at": NOON, "card": "a", "amount": "much"})
    assert travel.features("everything", NOON, card="a")["card_activity__f0"] == 0


def test_framed_bytes_are_read_with_the_declared_schema_alone():
    source = source_of(SCHEMA, "confluent")
    travel = everything_of(source)
    body = avro(SCHEMA, at=ms(NOON) * 1_000, card="a", amount=1.0, channel="x")
    travel.feed(source.topic, frame(DECLARED_SCHEMA_ID, body))
    with pytest.raises(DeadLettersFound, match="schema 7 is unknown"):
        travel.feed(source.topic, frame(7, body))
    assert travel.features("everything", NOON, card="a")["card_activity__f0"] == 1
