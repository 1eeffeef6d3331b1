"""A batch of one partition, or of several folded together: what is written, in which order, and what holds it back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.pipelines.adapters.kafka.producer import DeliveryFailed
from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.kafka.topics import Feed
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, feature_field, head_field, timestamp_field
from forebay.pipelines.contract.store.progress import NOTHING_YET
from forebay.pipelines.contract.store.row_header import Header
from forebay.pipelines.contract.store.values import decode_timestamp, decode_value
from forebay.pipelines.errors import StoreUnavailable
from forebay.pipelines.feature_processor.walk.rekey import Rekeyer
from tests.feature_processor.bad_days import FlakyStore
from tests.feature_processor.partition import (
    CARDS,
    PROJECT,
    ROUTED,
    ROUTED_INCARNATION,
    WINDOWS,
    Producer,
    batches,
    card,
    cuts_of,
    folded,
    moderately,
    progress,
    row,
    rows,
    start,
    topic_batches,
)
from tests.oracle import Window
from tests.support.build import HOUR, MINUTE, SOURCE, START_MS, expected, make_view, record


class TestOrder:
    def test_rows_then_deliveries_then_progress(self):
        """Whatever stops in between, progress never names what is not contained."""
        store = FlakyStore()
        pipeline = start(store, CARDS)
        pipeline.topic.parts.producer.flush = lambda: store.calls.append("flush")
        store.calls.clear()
        pipeline.process([record(0, card("a", 0))])
        assert store.calls == ["read", "send", "answers", "flush", "write_hash"]

    def test_progress_that_the_store_did_not_take_is_not_believed(self):
        """A batch that is tried again must be folded, and not be taken for one that is contained."""
        store = FlakyStore()
        pipeline = start(store, CARDS)
        store.failures = {len(store.calls) + 4: "none"}
        with pytest.raises(StoreUnavailable):
            pipeline.process([record(0, card("a", 0))])
        assert store.calls[-1] == "write_hash"
        assert pipeline.ledger.offset == NOTHING_YET
        assert pipeline.ledger.watermark_ms() == NOTHING_YET
        pipeline.process([record(0, card("a", 0))])
        assert (pipeline.ledger.offset, progress(store)) == (0, 0)

    def test_the_next_batch_may_come_when_the_last_row_of_all_views_is_on_its_way(self):
        """Not before: it would be fetched, and then wait, while this one is still computed."""
        store = FlakyStore()
        pipeline = start(store, CARDS, make_view(WINDOWS, name="once_more", fingerprint="33" * 8))
        store.calls.clear()
        pipeline.topic.process({0: [record(0, card("a", 0))]}, lambda: store.calls.append("all sent"))
        assert store.calls == ["read", "send", "answers", "read", "send", "all sent", "answers", "write_hash"]

    def test_a_failed_delivery_holds_progress_back(self):
        store = MemoryStore()
        pipeline = start(store, CARDS)
        pipeline.topic.parts.producer.fails = True
        with pytest.raises(DeliveryFailed):
            pipeline.process([record(0, b"x"), record(1, card("a", 0))])
        assert progress(store) == NOTHING_YET
        again = start(store, CARDS)
        again.process([record(0, b"x"), record(1, card("a", 0))])
        assert row(store, CARDS, "a") == folded(CARDS, [(1, card("a", 0))])["a"]
        assert len(again.topic.parts.producer.to("payments.dlq")) == 1

    def test_a_store_that_takes_no_writes_does_not_multiply_what_is_refused_or_routed(self):
        """However often the batch is tried."""
        store, producer = FlakyStore(), Producer()
        rekeyer = Rekeyer([ROUTED], {ROUTED.topic: ROUTED_INCARNATION}, producer)
        pipeline = start(store, CARDS, routes=(ROUTED,), rekeyer=rekeyer, producer=producer)
        first_write = len(store.calls) + 2
        store.failures = dict.fromkeys(range(first_write, first_write + 6), "none")
        batch = [record(0, b"x"), record(1, card("a", 2 * HOUR, merchant="m")), record(2, card("b", 0, merchant="m"))]
        tries = 1
        while True:
            try:
                pipeline.process(batch)
                break
            except StoreUnavailable:
                tries += 1
        assert tries > 3
        assert [len(producer.to(topic)) for topic in ("payments.dlq", "payments.late", ROUTED.topic)] == [1, 1, 2]

    def test_feasts_own_fields_hold_the_values_as_of_the_last_event(self):
        store = MemoryStore()
        events = [card("a", 0, 1.5), card("a", 10, None), card("a", 5, 2.5)]
        start(store, CARDS).process([record(at, each) for at, each in enumerate(events)])
        hash_ = store.hashes[EntityKeyEncoder(CARDS.join_keys, PROJECT)(["a"])]
        values = [decode_value(hash_[feature_field(CARDS.name, each.name)]) for each in CARDS.features]
        assert values == expected(CARDS, events, START_MS + 10)
        assert decode_timestamp(hash_[timestamp_field(CARDS.name)]) == START_MS + 10

    def test_a_view_that_is_added_leaves_what_its_neighbour_refused_as_it_is(self):
        """An event that was late for one view, read again for another from a beginning that Kafka has trimmed."""
        store = MemoryStore()
        events = [record(0, card("a", 3 * HOUR)), record(1, card("a", 0)), record(2, card("a", 3 * HOUR))]
        start(store, CARDS).process(events)
        before = row(store, CARDS, "a")
        other = make_view(WINDOWS, name="other", fingerprint="33" * 8)
        both = start(store, CARDS, other)
        both.process(events[1:])
        assert row(store, CARDS, "a") == before
        assert row(store, other, "a") == folded(other, [(1, card("a", 0)), (2, card("a", 3 * HOUR))])["a"]
        both.process([record(3, card("a", 1))])
        assert row(store, CARDS, "a") == before

    def test_a_second_view_starts_from_its_own_beginning(self):
        """A view that is added later reads all records again; the first view counts none of them twice."""
        store = MemoryStore()
        events = [record(at, card("a", at)) for at in range(6)]
        start(store, CARDS).process(events[:4])
        other = make_view(WINDOWS, name="other", fingerprint="33" * 8)
        both = start(store, CARDS, other)
        assert both.ledger.offset == -1
        both.process(events[:2])
        assert (progress(store), progress(store, other)) == (3, 1)
        both.process(events[2:])
        assert row(store, CARDS, "a") == row(store, other, "a") == folded(CARDS, _pairs(6))["a"]


def _pairs(count):
    return [(at, card("a", at)) for at in range(count)]


class TestText:
    def test_distinct_texts_are_counted_from_batch_to_batch(self):
        view = make_view([Window("count_distinct", "merchant", HOUR, 5 * MINUTE)])
        store = MemoryStore()
        pipeline = start(store, view)
        names = ["x", "ß", None, "x", "", "ß"]
        events = [card("a", at, merchant=name) for at, name in enumerate(names)]
        for start_at in range(0, len(events), 2):
            batch = [record(start_at + at, each) for at, each in enumerate(events[start_at : start_at + 2])]
            pipeline.process(batch)
        assert row(store, view, "a") == folded(view, list(enumerate(events)))["a"]
        assert row(store, view, "a")[2] == [3.0]


def refused(pipeline):
    """Where what it refused came from, topic by topic."""
    return sorted((topic, headers["forebay-position"]) for topic, *_, headers in pipeline.parts.producer.sent)


class TestTogether:
    """Several partitions in one batch."""

    def feed(self, store, partitions=(0, 1, 2)):
        feed = Feed(SOURCE.topic, SOURCE, False, (CARDS,), ())
        shared = topic_batches(feed, store)
        shared.assign(dict.fromkeys(partitions, 0))
        shared.begin()
        return shared

    @moderately
    @given(
        events=st.lists(
            st.tuples(st.sampled_from("abcdef"), st.integers(0, 3 * HOUR), st.floats(-1e3, 1e3)), max_size=40
        ),
        sizes=cuts_of,
    )
    def test_partitions_that_are_folded_together_give_what_each_gives_alone(self, events, sizes):
        """Rows, progress, late events and dead letters; entities keep to their partitions, as keys do."""
        logs = {at: [] for at in range(3)}
        for entity, at_ms, amount in events:
            log = logs["abcdef".index(entity) % 3]
            log.append(record(len(log), card(entity, at_ms, amount)))
            if amount < 0:
                log.append(record(len(log), b"garbage"))
        together, alone = MemoryStore(), MemoryStore()
        joined, single = self.feed(together), self.feed(alone)
        cut = {at: list(batches(log, sizes)) for at, log in logs.items()}
        for turn in range(max(map(len, cut.values()), default=0)):
            joined.process({at: some[turn] for at, some in cut.items() if turn < len(some)})
        for at, some in cut.items():
            for batch in some:
                single.process({at: batch})
        assert together.hashes == alone.hashes
        assert refused(joined) == refused(single)

    def test_of_an_entity_in_two_partitions_the_one_of_its_row_counts(self):
        """The topic is not keyed as its source says, and offsets of its records do not compare."""
        store = MemoryStore()
        shared = self.feed(store)
        first = {0: [record(0, card("b", 0))], 1: [record(0, card("a", 0))]}
        second = {0: [record(1, card("a", 1)), record(2, card("b", 1))], 1: [record(1, card("a", 2))]}
        shared.process(first)
        shared.process(second)
        assert rows(store, CARDS, "ab") == folded(
            CARDS, [(0, card("b", 0)), (2, card("b", 1)), (0, card("a", 0)), (1, card("a", 2))]
        )
        ((_, _, key, value, headers),) = shared.parts.producer.to("payments.dlq")
        assert (key, value) == (b"key", second[0][0].value)
        assert (headers["forebay-reason"], headers["forebay-position"]) == (b"wrong_key", b"payments[0]@1")
        assert b"librdkafka has another by default" in headers["forebay-error"]
        assert b"in partition 0, but those of its entity are in partition 1" in headers["forebay-error"]
        assert b"tag key=card" in headers["forebay-error"]
        assert [progress(store, partition=at) for at in (0, 1)] == [2, 1]

    def test_a_record_that_one_view_refuses_comes_into_no_view_of_more_keys(self):
        """It is the first one of its card at that merchant, and the rightly keyed ones after it would be refused."""
        pairs = make_view(WINDOWS, name="pairs", keys=["card", "merchant"], fingerprint="33" * 8)
        store = MemoryStore()
        shared = topic_batches(Feed("payments", SOURCE, False, (pairs, CARDS), ()), store)
        shared.assign({0: 0, 1: 0})
        shared.begin()
        shared.process({0: [record(0, card("a", 0, merchant="m"))]})
        shared.process({1: [record(0, card("a", 1, merchant="n"))]})
        shared.process({0: [record(1, card("a", 2, merchant="n"))]})
        assert [each[-1]["forebay-position"] for each in shared.parts.producer.to("payments.dlq")] == [b"payments[1]@0"]
        key = EntityKeyEncoder(pairs.join_keys, PROJECT)(["a", "n"])
        ((head,),) = store.read([(key, [head_field(pairs)])])
        assert Header.unpack(head)[3:5] == (0, 1)

    def test_of_a_new_entity_in_two_partitions_the_first_counts(self):
        store = MemoryStore()
        shared = self.feed(store)
        shared.process({0: [record(0, card("a", 0))], 1: [record(0, card("a", 1)), record(1, card("c", 1))]})
        assert rows(store, CARDS, "ac") == folded(CARDS, [(0, card("a", 0)), (1, card("c", 1))])
        assert [each[-1]["forebay-position"] for each in shared.parts.producer.to("payments.dlq")] == [b"payments[1]@0"]

    @pytest.mark.parametrize("failure", ["half", "none", "all"])
    def test_a_misplaced_record_whose_batch_is_tried_again_is_one_dead_letter(self, failure):
        store = FlakyStore()
        shared = self.feed(store)
        shared.process({1: [record(0, card("a", 0))]})
        batch = {0: [record(0, card("a", 1)), record(1, card("b", 1))]}
        for nth in range(3):  # the read, the write, the progress
            store.failures = {len(store.calls) + 1 + nth: failure}
            try:
                shared.process(batch)
            except StoreUnavailable:
                shared.process(batch)
            assert len(shared.parts.producer.to("payments.dlq")) == 1 + nth
            batch = {0: [each._replace(offset=each.offset + 2) for each in batch[0]]}
        assert row(store, CARDS, "a") == folded(CARDS, [(0, card("a", 0))])["a"]
        assert row(store, CARDS, "b") == folded(CARDS, [(at, card("b", 1)) for at in (1, 3, 5)])["b"]

    def test_what_no_one_is_handed_moves_progress_without_a_record(self):
        """Markers and records of aborted transactions have offsets: a topic may end with them."""
        store = MemoryStore()
        shared = self.feed(store)
        shared.process({0: [record(3, card("a", 0))]}, ends={0: 6, 1: 9})
        assert [progress(store, partition=at) for at in (0, 1, 2)] == [5, 8, NOTHING_YET]
        assert row(store, CARDS, "a")[0] == 3
        shared.process({}, ends={0: 8})
        shared.process({1: [record(9, card("b", 0))]}, ends={1: 10})
        assert [progress(store, partition=at) for at in (0, 1)] == [7, 9]
        assert row(store, CARDS, "b")[0] == 9

    def test_a_batch_that_fails_is_tried_again_whole(self):
        store = FlakyStore()
        shared = self.feed(store)
        batch = {at: [record(0, b"x"), record(1, card("abc"[at], at))] for at in range(3)}
        first_write = len(store.calls) + 2
        store.failures = {first_write: "half"}
        with pytest.raises(StoreUnavailable):
            shared.process(batch)
        shared.process(batch)
        assert [row(store, CARDS, name)[0] for name in "abc"] == [1, 1, 1]
        assert len(shared.parts.producer.to("payments.dlq")) == 3
        assert [progress(store, partition=at) for at in range(3)] == [1, 1, 1]
