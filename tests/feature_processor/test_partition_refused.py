"""What one partition refuses: dead letters and late events, each with its own bytes, and their neighbours unharmed."""

import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.recipients import decode_recipients
from forebay.pipelines.contract.kafka.record import SOURCE_HEADER, Record
from forebay.pipelines.contract.plan.definition import definition
from forebay.pipelines.contract.store.keys import progress_key
from forebay.pipelines.contract.store.publication import publication_key
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
)
from tests.oracle import Window
from tests.support.build import HOUR, MINUTE, SOURCE, START_MS, make_view, record


class TestRefused:
    @pytest.mark.parametrize(
        ("payload", "reason"),
        [(b"\x00garbage\xff", "decode"), (None, "decode"), (b'{"card": "a"}', "invalid")],
    )
    def test_a_bad_record_becomes_a_dead_letter_with_its_bytes_untouched(self, payload, reason):
        pipeline = start(MemoryStore(), CARDS)
        pipeline.process([record(7, card("a", 0)), Record(8, b"\xffkey", payload, [("x", b"y")], 0)])
        ((topic, _, key, value, headers),) = pipeline.topic.parts.producer.sent
        assert (topic, key, value) == ("payments.dlq", b"\xffkey", payload)
        assert headers["forebay-reason"] == reason.encode()
        assert headers["forebay-position"] == b"payments[0]@8"
        assert headers["forebay-stage"] == b"process"
        assert headers["forebay-error"].startswith(b"payments: ")
        assert int(headers["forebay-time-ms"]) > START_MS

    def test_its_neighbours_are_counted_and_progress_passes_it(self):
        store = MemoryStore()
        start(store, CARDS).process([record(0, b"x"), record(1, card("a", 0)), record(2, b"{}")])
        assert row(store, CARDS, "a")[0] == 1
        assert progress(store) == 2

    def test_an_event_that_the_views_function_fails_on_is_a_dead_letter_of_that_view_alone(self):
        def refuse(events):
            if (events["amount"] < 0).any():
                raise ValueError("negative")
            return events

        picky = make_view(WINDOWS, name="picky", udf=refuse, fingerprint="33" * 8)
        store = MemoryStore()
        pipeline = start(store, picky, CARDS)
        pipeline.process([record(0, card("a", 0, -1.0)), record(1, card("a", 1, 2.0))])
        assert [each[-1]["forebay-reason"] for each in pipeline.topic.parts.producer.sent] == [b"transform"]
        assert (row(store, picky, "a")[2][0], row(store, CARDS, "a")[2][0]) == (2.0, 1.0)

    def test_a_record_that_several_views_refuse_is_one_dead_letter_that_names_them(self):
        def refuse(events):
            raise ValueError("never")

        picky = [make_view(WINDOWS, name=f"picky_{at}", udf=refuse, fingerprint=f"3{at}" * 8) for at in range(3)]
        pipeline = start(MemoryStore(), *picky, CARDS)
        pipeline.process([record(0, card("a", 0)), record(1, card("a", 1))])
        letters = pipeline.topic.parts.producer.to("payments.dlq")
        assert [each[-1]["forebay-position"] for each in letters] == [b"payments[0]@0", b"payments[0]@1"]
        for *_, headers in letters:
            assert decode_recipients(headers["forebay-refused-by"]).views == tuple(map(definition, picky))
            assert all(view.name.encode() in headers["forebay-error"] for view in picky)

    def test_a_record_without_a_key_is_a_dead_letter_that_names_the_tag_and_is_routed_all_the_same(self):
        """Its partition says nothing: the first one to get an entity would keep it from the right one."""
        producer = Producer()
        rekeyer = Rekeyer([ROUTED], {ROUTED.topic: ROUTED_INCARNATION}, producer)
        store = MemoryStore()
        pipeline = start(store, CARDS, routes=(ROUTED,), rekeyer=rekeyer, producer=producer)
        unkeyed = record(0, card("a", 0, merchant="m"))._replace(key=None)
        pipeline.process([unkeyed, record(1, card("b", 0))])
        ((_, _, key, value, headers),) = producer.to("payments.dlq")
        assert (key, value, headers["forebay-reason"]) == (None, unkeyed.value, b"wrong_key")
        assert b"no key" in headers["forebay-error"]
        assert b"tag key=card of source 'payments'" in headers["forebay-error"]
        assert len(producer.to(ROUTED.topic)) == 1
        assert (row(store, CARDS, "a"), row(store, CARDS, "b")[0], progress(store)) == (None, 1, 1)

    def test_an_event_without_the_entity_is_in_no_row_and_needs_no_key(self):
        pipeline = start(MemoryStore(), CARDS)
        event = {"event_ms": START_MS, "card": None, "amount": 1}
        pipeline.process([record(0, event)._replace(key=None)])
        assert pipeline.topic.parts.producer.sent == []

    def test_an_event_without_the_entity_is_in_no_row(self):
        store = MemoryStore()
        start(store, CARDS).process([record(0, {"event_ms": START_MS, "card": None, "amount": 1})])
        assert progress(store) == 0
        assert store.hashes.keys() == {progress_key(PROJECT, SOURCE.topic, 0), publication_key(PROJECT, CARDS.name)}

    def test_a_routed_topic_takes_routed_records_only(self):
        pipeline = start(MemoryStore(), MERCHANTS, routed=True)
        event = {"event_ms": START_MS, "merchant": "m", "amount": 1}
        pipeline.process([record(0, event), record(1, event, [(SOURCE_HEADER, b"short")])])
        letters = pipeline.topic.parts.producer.to("payments.dlq")
        assert [each[-1]["forebay-position"] for each in letters] == [
            b"shop.merchant.payments[0]@0",
            b"shop.merchant.payments[0]@1",
        ]
        assert b"only Forebay may write" in letters[0][-1]["forebay-error"]


class TestLate:
    def test_a_late_event_goes_to_the_late_topic_with_its_bytes_untouched(self):
        """Later than the longest window behind the partition's watermark, whoever set it."""
        store = MemoryStore()
        pipeline = start(store, CARDS)
        late = record(1, card("b", 0))
        pipeline.process([record(0, card("a", HOUR + 1)), late])
        ((topic, _, key, value, headers),) = pipeline.topic.parts.producer.sent
        assert (topic, key, value) == ("payments.late", late.key, late.value)
        assert headers["forebay-views"] == b"card_activity"
        assert int(headers["forebay-event-ms"]) == START_MS
        assert int(headers["forebay-watermark-ms"]) == START_MS + HOUR + 1
        assert headers["forebay-position"] == b"payments[0]@1"
        assert row(store, CARDS, "b") is None

    def test_an_event_may_be_late_for_one_view_and_not_for_another(self):
        short = make_view([Window("sum", "amount", MINUTE, MINUTE)], name="short", fingerprint="33" * 8)
        store = MemoryStore()
        pipeline = start(store, CARDS, short)
        pipeline.process([record(0, card("a", 2 * MINUTE)), record(1, card("b", 0))])
        assert [each[-1]["forebay-views"] for each in pipeline.topic.parts.producer.to("payments.late")] == [b"short"]
        assert (row(store, CARDS, "b") is None, row(store, short, "b") is None) == (False, True)

    def test_an_event_that_is_late_for_several_views_is_one_letter_that_names_them(self):
        others = [make_view(WINDOWS, name=f"more_{at}", fingerprint=f"3{at}" * 8) for at in range(2)]
        pipeline = start(MemoryStore(), CARDS, *others)
        pipeline.process([record(0, card("a", HOUR + 1)), record(1, card("b", 0)), record(2, card("b", 0))])
        letters = pipeline.topic.parts.producer.to("payments.late")
        assert [each[-1]["forebay-position"] for each in letters] == [b"payments[0]@1", b"payments[0]@2"]
        for *_, headers in letters:
            assert headers["forebay-views"] == b"card_activity,more_0,more_1"
            assert decode_recipients(headers["forebay-refused-by"]).views == tuple(map(definition, [CARDS, *others]))

    def test_lateness_outlives_a_restart(self):
        """The watermark is part of progress."""
        store = MemoryStore()
        start(store, CARDS).process([record(0, card("a", 2 * HOUR))])
        again = start(store, CARDS)
        again.process([record(1, card("b", 0))])
        assert len(again.topic.parts.producer.to("payments.late")) == 1

    def test_an_event_from_the_far_future_makes_no_other_one_late(self):
        """It is refused, and the watermark stays where it was."""
        store = MemoryStore()
        pipeline = start(store, CARDS)
        pipeline.process([record(0, card("a", 0)), record(1, card("a", 30 * 365 * 24 * HOUR)), record(2, card("a", 5))])
        assert [each[-1]["forebay-reason"] for each in pipeline.topic.parts.producer.to("payments.dlq")] == [b"invalid"]
        assert pipeline.topic.parts.producer.to("payments.late") == []
        assert row(store, CARDS, "a")[:2] == (2, START_MS + 5)
