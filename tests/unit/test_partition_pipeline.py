"""One batch of one partition, completely: what is refused, what is kept, and what a bad day leaves behind."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.adapters.kafka import DeliveryFailed
from pipelines.adapters.memory_store import MemoryStore
from pipelines.contract.entity_key import EntityKeyEncoder, closed_field, feature_field, head_field, timestamp_field
from pipelines.contract.fence import Lineage
from pipelines.contract.plan import JoinKey
from pipelines.contract.progress import NOTHING_YET, decode_progress
from pipelines.contract.records import SOURCE_HEADER, Record, SourcePosition, source_header
from pipelines.contract.topology import Feed, Route, progress_field, progress_key, routed_partition, routing_key
from pipelines.contract.values import decode_timestamp, decode_value
from pipelines.errors import ProgressMismatch, StoreUnavailable
from pipelines.feature_processor.feed_pipeline import FeedPipeline
from pipelines.feature_processor.router import Router
from pipelines.feature_processor.view_writer import StoreRolledBack
from pipelines.steps.aggregate import ViewAggregator
from pipelines.steps.rows import StoredRow
from tests.build import HOUR, MINUTE, SECOND, SOURCE, START_MS, expected, make_view, record, rows_of
from tests.e2e.broker import until
from tests.oracle import Event, Window

PROJECT = "shop"
LIFE = Lineage("payments", "id-1", 4)
WINDOWS = [
    Window(each, "amount", *sizes) for each in ("sum", "last") for sizes in ((HOUR, 5 * MINUTE), (MINUTE, SECOND))
]
CARDS = make_view(WINDOWS)
MERCHANTS = make_view(WINDOWS, name="merchant_activity", keys=["merchant"], fingerprint="22" * 8)
ROUTED = Route("shop.merchant.payments", (JoinKey("merchant", "string"),))
ROUTED_LIFE = Lineage(ROUTED.topic, "id-2", 3).routed_from(LIFE)
moderately = settings(max_examples=50, deadline=None)


class Producer:
    """Acknowledges at `flush`, and can fail there."""

    def __init__(self):
        self.queued, self.sent, self.fails = [], [], False

    def produce(self, topic, value, key=None, headers=(), partition=-1):
        self.queued.append((topic, partition, key, value, dict(headers)))

    def flush(self):
        if self.fails:
            self.queued.clear()
            raise DeliveryFailed("1 record was not delivered")
        self.sent += self.queued
        self.queued = []

    def to(self, topic):
        return [each for each in self.sent if each[0] == topic]


class FlakyStore(MemoryStore):
    """Fails at chosen calls; writes may have happened before that: none, half, or all of them."""

    def __init__(self, failures=()):
        super().__init__()
        self.failures = dict(failures)
        self.calls = []
        self.writing_hashes = False

    def _call(self, name):
        self.calls.append(name)
        return self.failures.get(len(self.calls))

    def _fail(self):
        raise StoreUnavailable("no answer")

    def read(self, requests):
        return self._fail() if self._call("read") else super().read(requests)

    def read_hash(self, key):
        return self._fail() if self._call("read_hash") else super().read_hash(key)

    def write(self, writes, names=(), expire_ms=0):
        writes = list(writes)
        done = {None: len(writes), "none": 0, "half": len(writes) // 2, "all": len(writes)}
        failure = self._call("write")
        outcomes = super().write(writes[: done[failure]], names, expire_ms)
        return self._fail() if failure else outcomes

    def write_hash(self, key, fields):
        self._flaky(super().write_hash, key, fields)

    def write_hashes(self, hashes):
        self._flaky(super().write_hashes, hashes)

    def _flaky(self, write, *args):
        if self.writing_hashes:
            return write(*args)
        failure = self._call("write_hash")
        self.writing_hashes = True
        if failure != "none":
            write(*args)
        self.writing_hashes = False
        if failure:
            self._fail()
        return None


def start(store, *views, lineage=LIFE, partition=0, routed=False, router=None, routes=(), producer=None):
    """A pipeline on one partition, as after an assignment."""
    topic = ROUTED.topic if routed else SOURCE.topic
    feed = Feed(topic, SOURCE, routed, tuple(views), routes)
    shared = FeedPipeline(feed, PROJECT, store, producer or Producer(), lineage, router)
    shared.assign({partition: 0})
    shared.begin()
    return shared.partitions[partition]


def routed(offset, source_offset, life=ROUTED_LIFE):
    """A record as the router writes it."""
    event = card("a", source_offset, merchant="m")
    return record(offset, event, [source_header(SourcePosition(0, source_offset, life.digest))])


def of(pipeline):
    return pipeline._shared


def row(store, view, entity):
    """(fence offset, last event time, values as of then) of an entity; None if it has no row."""
    key = EntityKeyEncoder(view.join_keys, PROJECT)([entity])
    ((head, closed),) = store.read([(key, [head_field(view), closed_field(view)])])
    aggregate = ViewAggregator(view)
    header = aggregate.codec.header(StoredRow(head, closed))
    if header is None:
        return None
    tiles = aggregate.codec.unpack([StoredRow(head, closed)], [header])
    values = aggregate.evaluate(tiles, np.array([header.last_event_ms]))
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


def card(entity, at_ms, amount=1.0, **more):
    return Event(entity, START_MS + at_ms, {"amount": amount, **more})


class TestRefused:
    @pytest.mark.parametrize(
        ("payload", "reason"),
        [(b"\x00garbage\xff", "decode"), (None, "decode"), (b'{"card": "a"}', "invalid")],
    )
    def test_a_bad_record_becomes_a_dead_letter_with_its_bytes_untouched(self, payload, reason):
        pipeline = start(MemoryStore(), CARDS)
        pipeline.process([record(7, card("a", 0)), Record(8, b"\xffkey", payload, [("x", b"y")], 0)])
        ((topic, _, key, value, headers),) = of(pipeline).producer.sent
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
        assert [each[-1]["forebay-reason"] for each in of(pipeline).producer.sent] == [b"transform"]
        assert (row(store, picky, "a")[2][0], row(store, CARDS, "a")[2][0]) == (2.0, 1.0)

    def test_an_event_without_the_entity_is_in_no_row(self):
        store = MemoryStore()
        start(store, CARDS).process([record(0, {"event_ms": START_MS, "card": None, "amount": 1})])
        assert progress(store) == 0
        assert len(store.hashes) == 1

    def test_a_routed_topic_takes_records_of_the_router_only(self):
        pipeline = start(MemoryStore(), MERCHANTS, routed=True)
        event = {"event_ms": START_MS, "merchant": "m", "amount": 1}
        pipeline.process([record(0, event), record(1, event, [(SOURCE_HEADER, b"short")])])
        letters = of(pipeline).producer.to("payments.dlq")
        assert [each[-1]["forebay-position"] for each in letters] == [
            b"shop.merchant.payments[0]@0",
            b"shop.merchant.payments[0]@1",
        ]
        assert b"router" in letters[0][-1]["forebay-error"]


class TestLate:
    def test_a_late_event_goes_to_the_late_topic_with_its_bytes_untouched(self):
        """Later than the longest window behind the partition's watermark, whoever set it."""
        store = MemoryStore()
        pipeline = start(store, CARDS)
        late = record(1, card("b", 0))
        pipeline.process([record(0, card("a", HOUR + 1)), late])
        ((topic, _, key, value, headers),) = of(pipeline).producer.sent
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
        assert [each[-1]["forebay-views"] for each in of(pipeline).producer.to("payments.late")] == [b"short"]
        assert (row(store, CARDS, "b") is None, row(store, short, "b") is None) == (False, True)

    def test_lateness_outlives_a_restart(self):
        """The watermark is part of progress."""
        store = MemoryStore()
        start(store, CARDS).process([record(0, card("a", 2 * HOUR))])
        again = start(store, CARDS)
        again.process([record(1, card("b", 0))])
        assert len(of(again).producer.to("payments.late")) == 1

    def test_an_event_from_the_far_future_makes_no_other_one_late(self):
        """It is refused, and the watermark stays where it was."""
        store = MemoryStore()
        pipeline = start(store, CARDS)
        pipeline.process([record(0, card("a", 0)), record(1, card("a", 30 * 365 * 24 * HOUR)), record(2, card("a", 5))])
        assert [each[-1]["forebay-reason"] for each in of(pipeline).producer.to("payments.dlq")] == [b"invalid"]
        assert of(pipeline).producer.to("payments.late") == []
        assert row(store, CARDS, "a")[:2] == (2, START_MS + 5)


class TestOrder:
    def test_rows_then_deliveries_then_progress(self):
        """Whatever stops in between, progress never names what is not contained."""
        store = FlakyStore()
        pipeline = start(store, CARDS)
        of(pipeline).producer.flush = lambda: store.calls.append("flush")
        store.calls.clear()
        pipeline.process([record(0, card("a", 0))])
        assert store.calls == ["read", "write", "flush", "write_hash"]

    def test_a_failed_delivery_holds_progress_back(self):
        store = MemoryStore()
        pipeline = start(store, CARDS)
        of(pipeline).producer.fails = True
        with pytest.raises(DeliveryFailed):
            pipeline.process([record(0, b"x"), record(1, card("a", 0))])
        assert progress(store) == NOTHING_YET
        again = start(store, CARDS)
        again.process([record(0, b"x"), record(1, card("a", 0))])
        assert row(store, CARDS, "a") == folded(CARDS, [(1, card("a", 0))])["a"]
        assert len(of(again).producer.to("payments.dlq")) == 1

    def test_a_store_that_takes_no_writes_does_not_multiply_what_is_refused_or_routed(self):
        """However often the batch is tried."""
        store, producer = FlakyStore(), Producer()
        router = Router([ROUTED], {ROUTED.topic: ROUTED_LIFE}, producer)
        pipeline = start(store, CARDS, routes=(ROUTED,), router=router, producer=producer)
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


events_of_cards = st.lists(
    st.builds(
        card,
        st.sampled_from("abc"),
        st.one_of(st.integers(0, 3 * HOUR), st.integers(0, 5).map(lambda at: at * SECOND)),
        st.one_of(st.none(), st.floats(-1e6, 1e6)),
    ),
    min_size=1,
    max_size=25,
)
cuts_of = st.lists(st.integers(1, 8), max_size=25)


def batches(records, sizes):
    """The records in batches of these sizes, the rest in one."""
    records = list(records)
    for size in sizes:
        if records:
            yield records[:size]
            records = records[size:]
    if records:
        yield records


def in_time(records, allowed_ms=HOUR):
    """The (offset, event) pairs that are not too late, by the plain definition."""
    watermark, kept = -1, []
    for offset, event in records:
        if event.event_ms >= watermark - allowed_ms:
            kept.append((offset, event))
        watermark = max(watermark, event.event_ms)
    return kept


def run(store, records, sizes, make):
    """Processes the records as the app does: retries failed batches, and starts again where the store fell back."""
    pipeline = until_answered(make)
    while True:
        rest = [each for each in records if each.offset > pipeline.ledger.offset]
        for batch in batches(rest, sizes):
            if not process_until_done(pipeline, batch):
                pipeline = until_answered(make)
                break
        else:
            return pipeline


def until_answered(call):
    for _ in range(100):
        try:
            return call()
        except StoreUnavailable:
            continue
    raise AssertionError("the store never answers")


def process_until_done(pipeline, batch):
    """False where the store has fallen back."""
    for _ in range(100):
        try:
            pipeline.process(batch)
        except StoreUnavailable:
            for writer in of(pipeline).writers:
                writer.forget()
            if until_answered(pipeline.ledger.has_fallen_back):
                return False
        except StoreRolledBack:
            return False
        else:
            return True
    raise AssertionError("the batch is never done")


class TestBadDays:
    @moderately
    @given(events=events_of_cards, sizes=cuts_of)
    def test_the_state_is_the_fold_of_the_records(self, events, sizes):
        """Any batches: rows, fences and late events are what the oracle says."""
        store, pairs = MemoryStore(), list(enumerate(events))
        pipeline = run(store, [record(*each) for each in pairs], sizes, lambda: start(store, CARDS))
        assert_exact(store, in_time(pairs))
        assert len(of(pipeline).producer.to("payments.late")) == len(pairs) - len(in_time(pairs))
        assert progress(store) == len(events) - 1

    @moderately
    @given(
        events=events_of_cards,
        sizes=cuts_of,
        failures=st.dictionaries(st.integers(1, 40), st.sampled_from(["none", "half", "all"]), max_size=15),
    )
    def test_a_store_that_fails_at_any_call_loses_and_doubles_nothing(self, events, sizes, failures):
        """Before, amid or after its writes, any number of times."""
        store, pairs = FlakyStore(failures), list(enumerate(events))
        run(store, [record(*each) for each in pairs], sizes, lambda: start(store, CARDS))
        store.failures = {}
        assert_exact(store, in_time(pairs))

    @moderately
    @given(events=events_of_cards, stops=st.lists(st.integers(0, 25), max_size=5), sizes=cuts_of)
    def test_a_killed_process_is_continued_exactly(self, events, stops, sizes):
        """It dies between its rows and its progress, and the next one reads those records again."""
        store, pairs = FlakyStore(), list(enumerate(events))
        records = [record(*each) for each in pairs]
        for stop in stops:
            dying = start(store, CARDS)
            for batch in batches([each for each in records if each.offset > dying.ledger.offset][:stop], sizes):
                store.failures = {len(store.calls) + 3: "none"}  # read, write, then progress
                with pytest.raises(StoreUnavailable):
                    dying.process(batch)
                break
            store.failures = {}
        run(store, records, sizes, lambda: start(store, CARDS))
        assert_exact(store, in_time(pairs))

    @moderately
    @given(
        events=events_of_cards,
        sizes=cuts_of,
        pause=st.integers(0, 25),
        takeover=st.integers(0, 25),
        stale=st.integers(1, 25),
    )
    def test_a_stale_writer_is_refused_and_its_retry_is_harmless(self, events, sizes, pause, takeover, stale):
        """A paused process comes back after another took over, and writes on; a third one then starts afresh."""
        store, pairs = MemoryStore(), list(enumerate(events))
        records = [record(*each) for each in pairs]
        paused = start(store, CARDS)
        for batch in batches(records[:pause], sizes):
            paused.process(batch)
        owner = start(store, CARDS)
        for batch in batches(records[pause : pause + takeover], sizes):
            owner.process(batch)
        for batch in batches(records[pause : pause + stale], sizes):
            paused.process(batch)
        rest = [each for each in records[pause + takeover :] if each.offset > owner.ledger.offset]
        for batch in batches(rest, sizes):
            owner.process(batch)
        assert_exact(store, in_time(pairs))
        run(store, records, sizes, lambda: start(store, CARDS))
        assert_exact(store, in_time(pairs))

    @moderately
    @given(events=events_of_cards, sizes=cuts_of, at=st.integers(0, 25), lost=st.integers(0, 25), noticed=st.booleans())
    def test_a_store_that_lost_its_last_writes_is_made_whole_again(self, events, sizes, at, lost, noticed):
        """It answers as it was some batches ago; noticed by a broken connection, or by the fence of a cached row."""
        store, pairs = FlakyStore(), list(enumerate(events))
        records = [record(*each) for each in pairs]
        pipeline = start(store, CARDS)
        for batch in batches(records[:at], sizes):
            pipeline.process(batch)
        before = copy.deepcopy(store.hashes)
        for batch in batches(records[at : at + lost], sizes):
            pipeline.process(batch)
        store.hashes = before
        store.failures = {len(store.calls) + 1: "none"}
        for batch in batches(records[at + lost :], sizes):
            if not process_until_done(pipeline, batch):
                break
        run(store, records, sizes, lambda: start(store, CARDS))
        assert_exact(store, in_time(pairs))


def assert_exact(store, pairs):
    found, oracle = rows(store, CARDS, "abc"), folded(CARDS, pairs)
    assert {entity: each[:2] for entity, each in found.items()} == {each: oracle[each][:2] for each in oracle}
    for entity, (*_, values) in oracle.items():
        np.testing.assert_array_equal(found[entity][2], values)


class TestRolledBack:
    def stored(self, count, kept):
        """A pipeline that processed `count` records, on a store that remembers only the first `kept`."""
        store = MemoryStore()
        pipeline = start(store, CARDS)
        snapshot = {}
        for at in range(count):
            if at == kept:
                snapshot = copy.deepcopy(store.hashes)
            pipeline.process([record(at, card("a", at))])
        store.hashes = snapshot
        return store, pipeline

    @pytest.mark.parametrize("kept", [0, 3])
    def test_a_row_older_than_acknowledged_is_noticed(self, kept):
        store, pipeline = self.stored(5, kept)
        with pytest.raises(StoreRolledBack, match="card_activity"):
            pipeline.process([record(5, card("a", 5))])
        assert progress(store) == kept - 1

    @pytest.mark.parametrize("kept", [0, 3])
    def test_progress_that_fell_back_is_noticed(self, kept):
        _, pipeline = self.stored(5, kept)
        assert pipeline.ledger.has_fallen_back()

    def test_progress_that_did_not_fall_back_is_not(self):
        _, pipeline = self.stored(5, kept=5)
        store = MemoryStore()
        pipeline = start(store, CARDS)
        pipeline.process([record(0, card("a", 0))])
        assert not pipeline.ledger.has_fallen_back()


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


class TestAnotherLife:
    @pytest.mark.parametrize("now", [Lineage("payments", "id-2", 4), Lineage("payments", "id-1", 8)])
    def test_progress_of_another_life_of_the_topic_is_refused_with_the_repair(self, now):
        """Re-created, or given more partitions: offsets do not compare."""
        store = MemoryStore()
        start(store, CARDS).process([record(0, card("a", 0))])
        with pytest.raises(ProgressMismatch, match=f"{now.topic_id} and {now.partitions} partitions.*rebuild"):
            start(store, CARDS, lineage=now)

    @pytest.mark.parametrize(
        ("lineage", "partition"), [(Lineage("payments", "id-2", 4), 0), (Lineage("payments", "id-1", 8), 5), (LIFE, 1)]
    )
    def test_a_row_of_another_life_is_never_taken_for_this_ones(self, lineage, partition):
        """Its fence is higher than the new offsets: skipping these as contained would lose them in silence."""
        store = MemoryStore()
        start(store, CARDS).process([record(1_000, card("a", 0))])
        del store.hashes[progress_key(PROJECT, "payments", 0)]
        with pytest.raises(ProgressMismatch, match="rebuild"):
            start(store, CARDS, lineage=lineage, partition=partition).process([record(0, card("a", 5))])

    def test_a_changed_view_starts_afresh_over_its_old_rows(self):
        store = MemoryStore()
        start(store, CARDS).process([record(1_000, card("a", 0))])
        changed = make_view(WINDOWS, fingerprint="44" * 8)
        start(store, changed).process([record(0, card("a", 5))])
        assert row(store, changed, "a") == folded(changed, [(0, card("a", 5))])["a"]

    def test_what_feast_reads_expires_and_the_state_does_not(self):
        """A row of a pipeline that died is missing to the Feast SDK, and is still what the pipeline goes on from."""
        short = make_view([Window("sum", "amount", SECOND // 50, SECOND // 100)])
        store = MemoryStore()
        pipeline = start(store, short)
        pipeline.process([record(0, card("a", 0))])
        key = EntityKeyEncoder(short.join_keys, PROJECT)(["a"])
        feast = [timestamp_field(short.name), feature_field(short.name, "f0")]
        assert None not in store.read([(key, feast)])[0]
        until(lambda: store.read([(key, feast)]) == [[None, None]], 10.0, "expiry")
        assert row(store, short, "a") == folded(short, [(0, card("a", 0))])["a"]
        pipeline.process([record(1, card("a", 0))])
        assert None not in store.read([(key, feast)])[0]
        assert row(store, short, "a") == folded(short, [(0, card("a", 0)), (1, card("a", 0))])["a"]

    @pytest.mark.parametrize("retired", [False, True])
    def test_a_view_that_is_changed_back_goes_on_or_starts_afresh_where_its_state_was_given_up(self, retired):
        store, log = MemoryStore(), [record(at, card("ab"[at % 2], at)) for at in range(6)]
        changed = make_view(WINDOWS, fingerprint="44" * 8)
        start(store, CARDS).process(log[:3])
        other = start(store, changed)
        other.process(log[:4])
        if retired:
            assert other.ledger.retire_others(changed) == [CARDS.fingerprint]
        back = start(store, CARDS)
        assert back.ledger.offset == (NOTHING_YET if retired else 2)
        back.process(log)
        for name in "ab":
            events = [(at, card("ab"[at % 2], at)) for at in range(6) if "ab"[at % 2] == name]
            assert row(store, CARDS, name) == folded(CARDS, events)[name]
            assert row(store, changed, name) == folded(changed, [each for each in events if each[0] < 4])[name]

    def test_progress_of_another_view_stays_where_a_view_is_changed(self):
        store = MemoryStore()
        other = make_view(WINDOWS, name="card_activity@2")
        start(store, CARDS, other).process([record(0, card("a", 0))])
        start(store, make_view(WINDOWS, fingerprint="44" * 8))
        assert start(store, other).ledger.offset == 0


class TestRouting:
    def route(self, store, producer, partition, events, first_offset=0):
        """Routes events of one source partition, as the pipeline of the source topic does."""
        router = Router([ROUTED], {ROUTED.topic: ROUTED_LIFE}, producer)
        pipeline = start(store, routes=(ROUTED,), router=router, producer=producer, partition=partition)
        pipeline.process([record(first_offset + at, each) for at, each in enumerate(events)])

    def test_every_event_is_re_keyed_and_carries_its_source(self):
        producer = Producer()
        self.route(MemoryStore(), producer, 2, [card("a", 0, merchant="m"), card("b", 1, merchant="ß")], 40)
        for (topic, partition, key, value, headers), at, name in zip(producer.sent, (0, 1), ("m", "ß"), strict=True):
            assert (topic, key) == (ROUTED.topic, routing_key([name]))
            assert partition == routed_partition(key, 3)
            assert value == record(0, card("ab"[at], at, merchant=name)).value
            assert headers == dict([source_header(SourcePosition(2, 40 + at, ROUTED_LIFE.digest))])

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
        assert second.sent[0][-1] == dict([source_header(SourcePosition(0, 1, ROUTED_LIFE.digest))])

    def test_a_route_that_is_added_later_gets_everything(self):
        store = MemoryStore()
        start(store, CARDS).process([record(at, card("a", at, merchant="m")) for at in range(3)])
        producer = Producer()
        router = Router([ROUTED], {ROUTED.topic: ROUTED_LIFE}, producer)
        both = start(store, CARDS, routes=(ROUTED,), router=router, producer=producer)
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
        """The router restarts at will (each run: source partition, records read again, records read on)."""
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
                    store, MERCHANTS, routed=True, lineage=ROUTED_LIFE, partition=partition
                ),
            )
        store.failures = {}
        assert self.found(store) == self.once(producer.sent, sources)

    def test_a_view_that_is_added_does_not_make_its_neighbour_count_repeats(self):
        """The originals are trimmed, so the added view takes the router's repeats for new; the older knows better."""
        store, life = MemoryStore(), ROUTED_LIFE
        log = [routed(0, 0), routed(1, 1), routed(2, 2), routed(3, 1), routed(4, 2)]
        start(store, MERCHANTS, routed=True, lineage=life).process(log)
        other = make_view(WINDOWS, name="other", keys=["merchant"], fingerprint="33" * 8)
        both = start(store, MERCHANTS, other, routed=True, lineage=life)
        both.process(log[3:])
        both.process([routed(5, 2), routed(6, 3)])
        truth = folded(MERCHANTS, [(at, card("a", at, merchant="m")) for at in range(4)], lambda event: "m")["m"]
        assert row(store, MERCHANTS, "m")[1:] == truth[1:]

    @pytest.mark.parametrize(
        "former",
        [
            ROUTED_LIFE.routed_from(Lineage("payments", "id-0", 4)),
            Lineage(ROUTED.topic, "id-1", 3).routed_from(LIFE),
            Lineage(ROUTED.topic, "id-2", 2).routed_from(LIFE),
        ],
    )
    def test_what_was_routed_in_a_former_life_of_a_topic_counts_for_nothing_and_hides_nothing(self, former):
        """Its offsets were those of another source topic, or its partition that of another layout."""
        store = MemoryStore()
        pipeline = start(store, MERCHANTS, routed=True, lineage=ROUTED_LIFE)
        pipeline.process([routed(0, 7, former), routed(1, 8, former), routed(2, 0), routed(3, 9, former), routed(4, 1)])
        truth = folded(MERCHANTS, [(at, card("a", at, merchant="m")) for at in range(2)], lambda event: "m")["m"]
        assert row(store, MERCHANTS, "m")[1:] == truth[1:]
        assert of(pipeline).producer.sent == []

    def test_what_was_routed_before_records_named_their_life_is_of_a_former_one(self):
        store = MemoryStore()
        old = record(0, card("a", 0, merchant="m"), [(SOURCE_HEADER, bytes(12))])
        pipeline = start(store, MERCHANTS, routed=True, lineage=ROUTED_LIFE)
        pipeline.process([old])
        assert rows(store, MERCHANTS, "m") == {}
        assert of(pipeline).producer.sent == []

    def test_progress_made_from_another_life_of_the_source_topic_is_refused_with_the_repair(self):
        """The routed topic is the same one, but the offsets in its records begin again."""
        store = MemoryStore()
        start(store, MERCHANTS, routed=True, lineage=ROUTED_LIFE).process([routed(0, 0)])
        now = ROUTED_LIFE.routed_from(Lineage("payments", "id-9", 4))
        with pytest.raises(ProgressMismatch, match=r"when it had id id-1.* id-9.*rebuild merchant_activity`"):
            start(store, MERCHANTS, routed=True, lineage=now)

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


def refused(pipeline):
    """Where what it refused came from, topic by topic."""
    return sorted((topic, headers["forebay-position"]) for topic, *_, headers in pipeline.producer.sent)


class TestTogether:
    """Several partitions in one batch."""

    def feed(self, store, partitions=(0, 1, 2)):
        feed = Feed(SOURCE.topic, SOURCE, False, (CARDS,), ())
        shared = FeedPipeline(feed, PROJECT, store, Producer(), LIFE, None)
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
                single.partitions[at].process(batch)
        assert together.hashes == alone.hashes
        assert refused(joined) == refused(single)

    def test_an_entity_in_two_partitions_is_refused(self):
        """The topic is not keyed as its source says: offsets of its records would not compare."""
        shared = self.feed(MemoryStore())
        with pytest.raises(ProgressMismatch, match="another partition"):
            shared.process({0: [record(0, card("a", 0))], 1: [record(0, card("a", 1))]})

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
        assert len(shared.producer.to("payments.dlq")) == 3
        assert [progress(store, partition=at) for at in range(3)] == [1, 1, 1]
