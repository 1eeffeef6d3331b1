"""Events re-keyed for a view by another entity: each routed once, and counted once however often it was routed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.record import (
    SOURCE_HEADER,
    SOURCE_KEY_HEADER,
    Record,
    SourcePosition,
    source_header,
)
from forebay.pipelines.contract.kafka.rekeying import routed_partition, routing_key
from forebay.pipelines.contract.store.progress import NOTHING_YET
from forebay.pipelines.errors import ProgressMismatch
from forebay.pipelines.feature_processor.walk.rekey import Rekeyer
from tests.feature_processor.bad_days import FlakyStore, run
from tests.feature_processor.partition import (
    CARDS,
    INCARNATION,
    MERCHANTS,
    ROUTED,
    ROUTED_INCARNATION,
    WINDOWS,
    Producer,
    card,
    cuts_of,
    folded,
    moderately,
    row,
    rows,
    start,
)
from tests.support.build import HOUR, WRITTEN_MS, expected, make_view, record


def routed(offset, source_offset, incarnation=ROUTED_INCARNATION):
    """A record as the rekeyer writes it."""
    event = card("a", source_offset, merchant="m")
    return record(offset, event, [source_header(SourcePosition(0, source_offset, incarnation.digest))])


class TestRouting:
    def route(self, store, producer, partition, events, first_offset=0):
        """Routes events of one source partition, as the pipeline of the source topic does."""
        rekeyer = Rekeyer([ROUTED], {ROUTED.topic: ROUTED_INCARNATION}, producer)
        pipeline = start(store, routes=(ROUTED,), rekeyer=rekeyer, producer=producer, partition=partition)
        pipeline.process([record(first_offset + at, each) for at, each in enumerate(events)])

    def test_every_event_is_re_keyed_and_carries_its_source(self):
        producer = Producer()
        self.route(MemoryStore(), producer, 2, [card("a", 0, merchant="m"), card("b", 1, merchant="ß")], 40)
        for (topic, partition, key, value, headers), at, name in zip(producer.sent, (0, 1), ("m", "ß"), strict=True):
            assert (topic, key) == (ROUTED.topic, routing_key([name]))
            assert partition == routed_partition(key, 3)
            assert value == record(0, card("ab"[at], at, merchant=name)).value
            assert headers == {
                "forebay-source-key": record(0, None).key,
                **dict([source_header(SourcePosition(2, 40 + at, ROUTED_INCARNATION.digest))]),
            }

    def test_a_re_keyed_record_carries_the_producers_headers_and_time(self):
        """What the producer says of an event (a trace, a schema) is not lost; where it comes from only Forebay says."""
        producer = Producer()
        forged = (SOURCE_HEADER, b"x" * 20)
        log = [record(5, card("a", 0, merchant="m"), [("trace", b"1"), forged, ("trace", b"2"), ("empty", None)])]
        rekeyer = Rekeyer([ROUTED], {ROUTED.topic: ROUTED_INCARNATION}, producer)
        kept = []
        producer.produce = lambda *sent: kept.append(sent)
        start(MemoryStore(), routes=(ROUTED,), rekeyer=rekeyer, producer=producer).process(log)
        source = source_header(SourcePosition(0, 5, ROUTED_INCARNATION.digest))
        ((*_, headers, _partition, timestamp_ms),) = kept
        assert headers == [("trace", b"1"), ("trace", b"2"), ("empty", None), (SOURCE_KEY_HEADER, b"key"), source]
        assert timestamp_ms == WRITTEN_MS

    def test_events_without_the_entity_and_bad_records_are_not_routed(self):
        producer = Producer()
        self.route(MemoryStore(), producer, 0, [card("a", 0, merchant=None), b"x"])
        assert producer.to(ROUTED.topic) == []
        assert len(producer.to("payments.dlq")) == 1

    def test_what_was_routed_is_not_routed_again(self):
        """Nor by another process, or where the topic is read again for a view that was added."""
        store, first, second = MemoryStore(), Producer(), Producer()
        self.route(store, first, 0, [card("a", 0, merchant="m")])
        self.route(store, second, 0, [card("a", 0, merchant="m"), card("a", 1, merchant="m")])
        assert [len(each.to(ROUTED.topic)) for each in (first, second)] == [1, 1]
        assert (
            dict([source_header(SourcePosition(0, 1, ROUTED_INCARNATION.digest))]).items() <= second.sent[0][-1].items()
        )

    def test_a_route_that_is_added_later_gets_everything(self):
        store = MemoryStore()
        start(store, CARDS).process([record(at, card("a", at, merchant="m")) for at in range(3)])
        producer = Producer()
        rekeyer = Rekeyer([ROUTED], {ROUTED.topic: ROUTED_INCARNATION}, producer)
        both = start(store, CARDS, routes=(ROUTED,), rekeyer=rekeyer, producer=producer)
        assert both.ledger.offset == NOTHING_YET
        both.process([record(at, card("a", at, merchant="m")) for at in range(4)])
        assert len(producer.to(ROUTED.topic)) == 4
        assert row(store, CARDS, "a") == folded(CARDS, [(at, card("a", at)) for at in range(4)])["a"]

    @moderately
    @given(
        left=st.lists(st.tuples(st.sampled_from("mno"), st.integers(0, 2 * HOUR), st.floats(-9, 9)), max_size=12),
        right=st.lists(st.tuples(st.sampled_from("mno"), st.integers(0, 2 * HOUR), st.floats(-9, 9)), max_size=12),
        runs=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6), st.integers(1, 6)), max_size=12),
        sizes=cuts_of,
        failures=st.dictionaries(st.integers(1, 30), st.sampled_from(["none", "half", "all"]), max_size=6),
    )
    def test_records_routed_again_are_counted_once(self, left, right, runs, sizes, failures):
        """The rekeyer restarts at will (each run: source partition, records read again, records read on)."""
        sources = [left, right]
        producer, reached = Producer(), [0, 0]
        for source, again, on in [*runs, (0, 3, 12), (1, 3, 12)]:
            first = max(0, reached[source] - again)
            reached[source] = min(len(sources[source]), max(reached[source], first + again + on))
            events = [
                card("a", at_ms, amount, merchant=name)
                for name, at_ms, amount in sources[source][first : reached[source]]
            ]
            if events:
                self.route(MemoryStore(), producer, source, events, first)
        store = FlakyStore(failures)
        for partition in range(3):
            log = [each for each in producer.sent if each[1] == partition]
            records = [
                Record(at, key, value, list(headers.items()), 0) for at, (*_, key, value, headers) in enumerate(log)
            ]
            run(
                store,
                records,
                sizes,
                lambda partition=partition: start(
                    store, MERCHANTS, routed=True, incarnation=ROUTED_INCARNATION, partition=partition
                ),
            )
        store.failures = {}
        assert self.found(store) == self.once(producer.sent, sources)

    def test_a_view_that_is_added_does_not_make_its_neighbour_count_repeats(self):
        """The originals are trimmed, so the added view takes the rekeyer's repeats for new; the older knows better."""
        store, incarnation = MemoryStore(), ROUTED_INCARNATION
        log = [routed(0, 0), routed(1, 1), routed(2, 2), routed(3, 1), routed(4, 2)]
        start(store, MERCHANTS, routed=True, incarnation=incarnation).process(log)
        other = make_view(WINDOWS, name="other", keys=["merchant"], fingerprint="33" * 8)
        both = start(store, MERCHANTS, other, routed=True, incarnation=incarnation)
        both.process(log[3:])
        both.process([routed(5, 2), routed(6, 3)])
        truth = folded(MERCHANTS, [(at, card("a", at, merchant="m")) for at in range(4)], lambda event: "m")["m"]
        assert row(store, MERCHANTS, "m")[1:] == truth[1:]

    @pytest.mark.parametrize(
        "former",
        [
            ROUTED_INCARNATION.routed_from(Incarnation("payments", "id-0", 4)),
            Incarnation(ROUTED.topic, "id-1", 3).routed_from(INCARNATION),
            Incarnation(ROUTED.topic, "id-2", 2).routed_from(INCARNATION),
        ],
    )
    def test_what_was_routed_in_a_former_incarnation_of_a_topic_counts_for_nothing_and_hides_nothing(self, former):
        """Its offsets were those of another source topic, or its partition that of another layout."""
        store = MemoryStore()
        pipeline = start(store, MERCHANTS, routed=True, incarnation=ROUTED_INCARNATION)
        pipeline.process([routed(0, 7, former), routed(1, 8, former), routed(2, 0), routed(3, 9, former), routed(4, 1)])
        truth = folded(MERCHANTS, [(at, card("a", at, merchant="m")) for at in range(2)], lambda event: "m")["m"]
        assert row(store, MERCHANTS, "m")[1:] == truth[1:]
        assert pipeline.topic.parts.producer.sent == []

    def test_what_was_routed_before_records_named_their_incarnation_is_of_a_former_one(self):
        store = MemoryStore()
        old = record(0, card("a", 0, merchant="m"), [(SOURCE_HEADER, bytes(12))])
        pipeline = start(store, MERCHANTS, routed=True, incarnation=ROUTED_INCARNATION)
        pipeline.process([old])
        assert rows(store, MERCHANTS, "m") == {}
        assert pipeline.topic.parts.producer.sent == []

    def test_progress_made_from_another_incarnation_of_the_source_topic_is_refused_with_the_repair(self):
        """The routed topic is the same one, but the offsets in its records begin again."""
        store = MemoryStore()
        start(store, MERCHANTS, routed=True, incarnation=ROUTED_INCARNATION).process([routed(0, 0)])
        now = ROUTED_INCARNATION.routed_from(Incarnation("payments", "id-9", 4))
        with pytest.raises(ProgressMismatch, match=r"when it had id id-1.* id-9.*rebuild merchant_activity`"):
            start(store, MERCHANTS, routed=True, incarnation=now)

    def found(self, store):
        return {entity: (each[1], str(each[2])) for entity, each in rows(store, MERCHANTS, "mno").items()}

    def once(self, log, sources):
        """The oracle: every source record once, as it first arrived, unless too late in its source partition."""
        arrived = {}
        for partition in range(3):
            seen, watermark = set(), {0: -1, 1: -1}
            for _, where, _, _, headers in log:
                at = headers[SOURCE_HEADER]
                if where != partition or at in seen:
                    continue
                seen.add(at)
                source = int.from_bytes(at[:4], "big")
                name, at_ms, amount = sources[source][int.from_bytes(at[4:12], "big")]
                event = card("a", at_ms, amount)
                if event.event_ms >= watermark[source] - HOUR:
                    arrived.setdefault(name, []).append(event)
                watermark[source] = max(watermark[source], event.event_ms)
        newest = {name: max(event.event_ms for event in events) for name, events in arrived.items()}
        return {
            name: (newest[name], str(expected(MERCHANTS, events, newest[name]))) for name, events in arrived.items()
        }
