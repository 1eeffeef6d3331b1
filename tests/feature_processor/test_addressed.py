"""Replayed records: taken by the views that had refused them, passed over by all others, lost by nobody."""

import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.recipients import ONLY_FOR_HEADER, Recipients
from forebay.pipelines.contract.kafka.record import Record
from forebay.pipelines.contract.kafka.topics import Feed
from forebay.pipelines.contract.plan.definition import definition
from forebay.pipelines.feature_processor.walk.rekey import Rekeyer
from tests.feature_processor.partition import (
    CARDS,
    MERCHANTS,
    PROJECT,
    ROUTED,
    ROUTED_INCARNATION,
    WINDOWS,
    Producer,
    card,
    progress,
    row,
    start,
    topic_batches,
)
from tests.support.build import HOUR, SOURCE, START_MS, make_view, record

OTHER = make_view(WINDOWS, name="other", fingerprint="33" * 8)


def only_for(*views, project=PROJECT, model=""):
    return (ONLY_FOR_HEADER, Recipients(project, tuple(map(definition, views)), model).encode())


def refused_by(*views):
    return Recipients(PROJECT, tuple(map(definition, views))).encode()


def amount_sum(store, view, entity):
    found = row(store, view, entity)
    return None if found is None else found[2][0]


class TestViews:
    def test_a_record_for_one_view_is_not_counted_again_by_the_others(self):
        store = MemoryStore()
        pipeline = start(store, CARDS, OTHER)
        pipeline.process([record(0, card("a", 0)), record(1, card("a", 1, 5.0), [only_for(CARDS)])])
        assert (amount_sum(store, CARDS, "a"), amount_sum(store, OTHER, "a")) == (6.0, 1.0)
        assert (progress(store, CARDS), progress(store, OTHER)) == (1, 1)

    @pytest.mark.parametrize("header", [only_for(CARDS, project="else"), only_for(model="risk")])
    def test_a_record_for_someone_else_is_neither_counted_nor_refused(self, header):
        store = MemoryStore()
        pipeline = start(store, CARDS)
        pipeline.process([record(0, card("a", HOUR), [header]), record(1, b"\xff", [header]), record(2, card("a", 0))])
        assert pipeline.topic.parts.producer.sent == []
        assert amount_sum(store, CARDS, "a") == 1.0
        assert progress(store) == 2

    def test_it_makes_no_other_event_late_where_it_is_not_taken(self):
        pipeline = start(MemoryStore(), CARDS)
        pipeline.process([record(0, card("a", 3 * HOUR), [only_for(model="risk")]), record(1, card("a", 0))])
        assert pipeline.topic.parts.producer.to("payments.late") == []

    def test_a_header_that_names_nobody_is_a_dead_letter_that_says_what_to_do(self):
        store = MemoryStore()
        pipeline = start(store, CARDS)
        pipeline.process([record(0, card("a", 0), [(ONLY_FOR_HEADER, b"me")]), record(1, card("a", 1, 2.0))])
        ((topic, *_, headers),) = pipeline.topic.parts.producer.sent
        assert (topic, headers["forebay-reason"]) == ("payments.dlq", b"decode")
        assert b"leave it out" in headers["forebay-error"]
        assert amount_sum(store, CARDS, "a") == 2.0

    def test_a_definition_that_was_changed_since_passes_over_it(self):
        """It is computed anew, and judges the refused record itself."""
        changed = make_view(WINDOWS, fingerprint="55" * 8)
        store = MemoryStore()
        start(store, changed).process([record(0, card("a", 0)), record(1, card("a", 1, 5.0), [only_for(CARDS)])])
        assert amount_sum(store, changed, "a") == 1.0


class TestRoutes:
    def routed(self, store, *records):
        producer = Producer()
        rekeyer = Rekeyer([ROUTED], {ROUTED.topic: ROUTED_INCARNATION}, producer)
        feed = Feed(SOURCE.topic, SOURCE, False, (CARDS,), (ROUTED,), (MERCHANTS.name,), (definition(MERCHANTS),))
        shared = topic_batches(feed, store, producer, rekeyer=rekeyer)
        shared.assign({0: 0})
        shared.begin()
        shared.process({0: records})
        return producer

    def test_a_record_for_a_direct_view_is_not_routed_and_one_for_a_routed_view_is(self):
        events = [
            record(at, card("a", at, merchant="m"), [only_for(each)]) for at, each in enumerate((CARDS, MERCHANTS))
        ]
        store = MemoryStore()
        (sent,) = self.routed(store, *events).to(ROUTED.topic)
        assert sent[-1][ONLY_FOR_HEADER] == only_for(MERCHANTS)[1]
        assert sent[-1]["forebay-source-key"] == events[1].key
        assert amount_sum(store, CARDS, "a") == 1.0

    def test_the_routed_topic_passes_over_what_is_for_another_view(self):
        second = make_view(WINDOWS, name="second", keys=["merchant"], fingerprint="44" * 8)
        sent = self.routed(
            MemoryStore(),
            record(0, card("a", 0, merchant="m"), [only_for(MERCHANTS, second)]),
            record(1, card("a", 1, 5.0, merchant="m"), [only_for(second)]),
        ).to(ROUTED.topic)
        store = MemoryStore()
        records = [Record(at, each[2], each[3], list(each[4].items()), START_MS) for at, each in enumerate(sent)]
        pipeline = start(store, MERCHANTS, second, routed=True, incarnation=ROUTED_INCARNATION)
        pipeline.process(records)
        assert len(records) == 1  # the feed of the source topic knows of no view `second`
        assert (amount_sum(store, MERCHANTS, "m"), amount_sum(store, second, "m")) == (1.0, 1.0)


class TestDeadLetters:
    def test_they_keep_the_headers_and_the_timestamp_of_their_record(self):
        pipeline = start(MemoryStore(), CARDS)
        pipeline.process([Record(0, b"k", b"\xff", [("trace", b"1"), ("nothing", None)], START_MS + 7)])
        ((_, _, key, value, headers),) = pipeline.topic.parts.producer.sent
        assert (key, value, headers["trace"], headers["nothing"]) == (b"k", b"\xff", b"1", None)
        assert int(headers["forebay-timestamp-ms"]) == START_MS + 7

    def test_they_name_the_views_that_lack_the_record(self):
        def refuse(events):
            raise ValueError("all of them")

        picky = make_view(WINDOWS, name="picky", udf=refuse, fingerprint="33" * 8)
        pickier = make_view(WINDOWS, name="pickier", udf=refuse, fingerprint="44" * 8)
        pipeline = start(MemoryStore(), CARDS, picky, pickier)
        pipeline.process([record(0, card("a", 0)), record(1, b"\xff")])
        named = [each[-1]["forebay-refused-by"] for each in pipeline.topic.parts.producer.to("payments.dlq")]
        assert sorted(named) == sorted([refused_by(picky, pickier), refused_by(CARDS, picky, pickier)])

    def test_a_replayed_record_that_fails_again_is_for_the_same_view(self):
        pipeline = start(MemoryStore(), CARDS, OTHER)
        pipeline.process([record(0, b"\xff", [only_for(OTHER), ("forebay-reason", b"invalid")])])
        ((*_, headers),) = pipeline.topic.parts.producer.sent
        assert headers["forebay-refused-by"] == refused_by(OTHER)
        assert headers["forebay-reason"] == b"decode"

    def test_a_view_that_has_taken_the_record_is_not_named(self):
        """A view that was added later reads the topic again."""
        store = MemoryStore()
        start(store, CARDS).process([record(0, card("a", 0))])
        pipeline = start(store, CARDS, OTHER)
        pipeline.process([record(0, b"\xff")])
        ((*_, headers),) = pipeline.topic.parts.producer.sent
        assert headers["forebay-refused-by"] == refused_by(OTHER)

    def test_late_events_name_their_view_too(self):
        pipeline = start(MemoryStore(), CARDS)
        pipeline.process([record(0, card("a", HOUR + 1)), record(1, card("b", 0), [("trace", b"1")])])
        ((*_, headers),) = pipeline.topic.parts.producer.to("payments.late")
        assert headers["forebay-refused-by"] == refused_by(CARDS)
        assert headers["trace"] == b"1"
        assert "forebay-timestamp-ms" in headers
