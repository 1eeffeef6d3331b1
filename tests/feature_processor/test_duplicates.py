"""Events sent twice, through crashes, takeovers and replays: each is counted once, to the last byte of its row."""

import copy

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.contract.plan.plan import PLAN_FORMAT, Plan
from forebay.pipelines.contract.plan.types import EventId
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, ids_field
from forebay.pipelines.contract.store.keys import progress_field, progress_key
from forebay.pipelines.errors import StoreUnavailable
from forebay.pipelines.history.as_of import ViewHistory
from forebay.pipelines.steps.decode.decoder import event_type
from forebay.pipelines.steps.validate import Validator
from forebay.serving.features.rows import StreamRows
from tests.feature_processor.bad_days import (
    OVERTAKEN,
    FlakyStore,
    failing_calls,
    in_time,
    lose_writes,
    losses,
    run,
    take_over,
    takeovers,
)
from tests.feature_processor.partition import (
    PROJECT,
    WINDOWS,
    assert_folded,
    batches,
    card,
    cuts_of,
    moderately,
    progress,
    rows,
    start,
)
from tests.oracle import Event, repeated
from tests.support.build import HOUR, MINUTE, SOURCE, START_MS, expected, make_view, record

REMEMBERED_MS = 10 * MINUTE
NAMED = make_view(WINDOWS, event_id=EventId("merchant", REMEMBERED_MS))
"""The merchant's name serves as the events' id."""

events_of_cards = st.lists(
    st.builds(
        lambda entity, at_ms, amount, name: card(entity, at_ms, amount, merchant=name),
        st.sampled_from("ab"),
        st.one_of(st.integers(0, 30 * MINUTE), st.sampled_from([0, REMEMBERED_MS, REMEMBERED_MS + 1])),
        st.one_of(st.none(), st.floats(-1e6, 1e6)),
        st.sampled_from(["p", "q", "r", "s", "", None]),
    ),
    min_size=1,
    max_size=25,
)


def once(pairs, window_ms=REMEMBERED_MS):
    """The (offset, event) pairs that count, by the plain definition."""
    kept = []
    for entity in {event.entity for _, event in pairs}:
        own = [pair for pair in pairs if pair[1].entity == entity]
        names = [(event.values["merchant"] or None, event.event_ms) for _, event in own]
        kept += [pair for pair, again in zip(own, repeated(names, window_ms), strict=True) if not again]
    return sorted(kept)


def one_by_one(pairs):
    """The rows of a pipeline that nothing happens to, and that reads one record at a time."""
    store = MemoryStore()
    pipeline = start(store, NAMED)
    for pair in pairs:
        pipeline.process([record(*pair)])
    return rows_of(store)


def rows_of(store):
    return {key: fields for key, fields in store.hashes.items() if key != progress_key(PROJECT, SOURCE.topic, 0)}


def assert_exact(store, pairs):
    """Values and fences are the oracle's, and every byte is what record by record gives."""
    assert_folded(store, NAMED, "ab", once(in_time(pairs)))
    assert rows_of(store) == one_by_one(pairs)


class TestBadDays:
    @moderately
    @given(events=events_of_cards, sizes=cuts_of)
    def test_every_event_counts_once_in_any_batches(self, events, sizes):
        store, pairs = MemoryStore(), list(enumerate(events))
        run(store, [record(*each) for each in pairs], sizes, lambda: start(store, NAMED))
        assert_exact(store, pairs)
        assert progress(store, NAMED) == len(events) - 1

    @moderately
    @given(events=events_of_cards, sizes=cuts_of, failures=failing_calls)
    def test_a_store_that_fails_at_any_call_makes_none_count_again(self, events, sizes, failures):
        store, pairs = FlakyStore(failures), list(enumerate(events))
        run(store, [record(*each) for each in pairs], sizes, lambda: start(store, NAMED))
        store.failures = {}
        assert_exact(store, pairs)

    @moderately
    @given(events=events_of_cards, first=cuts_of, second=cuts_of, back=st.integers(-1, 24))
    def test_records_read_again_from_an_older_progress_are_judged_as_before(self, events, first, second, back):
        """Duplicates after the last event that counted are above the fence: they are judged anew, and left out anew."""
        store, pairs = MemoryStore(), list(enumerate(events))
        records, key, field = [record(*each) for each in pairs], progress_key(PROJECT, SOURCE.topic, 0), None
        pipeline, older = start(store, NAMED), {}
        for batch in batches(records, first):
            if batch[0].offset <= back:
                older = copy.deepcopy(store.hashes.get(key, {}))
            pipeline.process(batch)
        before = copy.deepcopy(rows_of(store))
        field = progress_field(NAMED)
        store.hashes[key] = {field: older[field]} if older else {}
        run(store, records, second, lambda: start(store, NAMED))
        assert rows_of(store) == before
        assert_exact(store, pairs)

    @moderately
    @given(events=events_of_cards, sizes=cuts_of, takeover=takeovers)
    @example(events=[card("a", at, merchant=name) for at, name in enumerate("pqrp")], sizes=[], takeover=OVERTAKEN)
    def test_a_process_that_was_taken_over_from_counts_none_again(self, events, sizes, takeover):
        """It writes on from the rows and ids it remembers; then another starts afresh."""
        store, pairs = MemoryStore(), list(enumerate(events))
        records = [record(*each) for each in pairs]
        take_over(lambda: start(store, NAMED), records, sizes, takeover)
        assert_exact(store, pairs)
        run(store, records, sizes, lambda: start(store, NAMED))
        assert_exact(store, pairs)

    @moderately
    @given(events=events_of_cards, sizes=cuts_of, loss=losses)
    def test_a_store_that_lost_its_last_writes_lost_their_ids_too(self, events, sizes, loss):
        """What had been counted, and is not any more, is no reason to leave an event out."""
        store, pairs = FlakyStore(), list(enumerate(events))
        records = [record(*each) for each in pairs]
        lose_writes(store, lambda: start(store, NAMED), records, sizes, loss)
        run(store, records, sizes, lambda: start(store, NAMED))
        assert_exact(store, pairs)


def payment(number, name, at_ms=0):
    return record(number, card("a", at_ms, merchant=name))


def counted_duplicates(view):
    return REGISTRY.get_sample_value("forebay_duplicate_events_total", {"view": view.name}) or 0.0


class TestWrites:
    def test_a_batch_of_duplicates_writes_no_row_and_progress_passes_it(self):
        store = FlakyStore()
        pipeline = start(store, NAMED)
        pipeline.process([payment(0, "p"), payment(1, "q")])
        before = copy.deepcopy(rows_of(store))
        writes = []
        store.write = lambda rows, *shared: [writes.append(row) for row in rows]
        pipeline.process([payment(2, "p"), payment(3, "q"), payment(4, "p")])
        assert (writes, rows_of(store), progress(store, NAMED)) == ([], before, 4)

    def test_duplicates_are_counted_by_view_and_once_where_a_row_was_ahead(self):
        """The stale process folds, is refused, reads again and folds what is left: the first try does not count."""
        view = msgspec.structs.replace(NAMED, name="counted")
        store = MemoryStore()
        stale = start(store, view)
        stale.process([payment(0, "p")])
        start(store, view).process([payment(1, "q"), payment(2, "p")])
        before = counted_duplicates(view)
        stale.process([payment(1, "q"), payment(2, "p"), payment(3, "q"), payment(4, "r")])
        assert counted_duplicates(view) - before == 2

    def test_a_view_whose_source_names_no_events_reads_and_writes_two_fields(self):
        plain = make_view(WINDOWS)
        for view, count in ((plain, 2), (NAMED, 3)):
            store, asked = MemoryStore(), []
            read = store.read
            store.read = lambda requests, read=read, asked=asked: [asked.extend(requests), read(requests)][1]
            start(store, view).process([payment(0, "p")])
            assert [len(fields) for _, fields in asked] == [count]
            key = EntityKeyEncoder(view.join_keys, PROJECT)(["a"])
            assert (ids_field(view) in store.hashes[key]) == (view is NAMED)

    def test_whoever_serves_does_not_read_the_ids(self):
        plan = Plan(PLAN_FORMAT, PROJECT, "0" * 16, "", (SOURCE,), (NAMED,), (), (), ())
        assert ids_field(NAMED) not in StreamRows(plan, NAMED).fields

    @pytest.mark.parametrize("mode", ["pandas", "python"])
    def test_the_views_function_need_not_keep_the_id(self, mode):
        def without_pandas(events):
            return events[events["amount"] > 0][["card", "event_ms", "amount"]]

        def without_python(event):
            kept = {name: event[name] for name in ("card", "event_ms", "amount")}
            return kept if event["amount"] > 0 else None

        udf = without_pandas if mode == "pandas" else without_python
        view = make_view(WINDOWS, event_id=NAMED.event_id, udf=udf, mode=mode)
        store = MemoryStore()
        events = [("p", -1.0), ("p", 1.0), ("q", 2.0), ("p", 4.0), ("q", 8.0)]
        start(store, view).process(
            [record(at, card("a", at, amount, merchant=name)) for at, (name, amount) in enumerate(events)]
        )
        assert rows(store, view, "a")["a"][2][0] == 3.0

    def test_a_store_that_takes_no_write_is_told_the_same_again(self):
        store = FlakyStore()
        pipeline = start(store, NAMED)
        first_write = len(store.calls) + 2
        store.failures = {first_write: "none", first_write + 1: "none"}
        batch = [payment(0, "p"), payment(1, "p"), payment(2, "q")]
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                pipeline.process(batch)
        pipeline.process(batch)
        assert rows_of(store) == one_by_one([(0, card("a", 0, merchant="p")), (2, card("a", 0, merchant="q"))])


@moderately
@given(events=events_of_cards, copies=st.lists(st.integers(0, 24), max_size=25))
def test_a_window_as_long_as_the_allowed_lateness_lets_no_copy_through(events, copies):
    """Whenever it comes, with the time of the first one: it is a duplicate, or too late."""
    named = [each._replace(values={**each.values, "merchant": f"p{at}"}) for at, each in enumerate(events)]
    pairs = list(enumerate([*named, *(named[at % len(named)] for at in copies)]))
    names = [event.values["merchant"] for _, event in once(in_time(pairs, HOUR), HOUR)]
    assert len(names) == len(set(names))


@moderately
@given(events=events_of_cards)
def test_history_counts_every_event_once_in_the_order_of_event_time(events):
    """Features as of each event, from the first ones up to it."""
    ordered = sorted(events, key=lambda event: event.event_ms)
    make = event_type("Event", SOURCE.columns)
    batch, _ = Validator(SOURCE)([make(event_ms=each.event_ms, card=each.entity, **each.values) for each in ordered])
    history = ViewHistory(NAMED, batch)
    kept = [event for _, event in once(list(enumerate(ordered)))]
    assert len(history.events.entity) == len(kept)
    for entity in "ab":
        for as_of_ms in {event.event_ms for event in ordered} | {START_MS + HOUR}:
            known = [Event(*each) for each in kept if each.entity == entity and each.event_ms <= as_of_ms]
            found = history.as_of(history.codes([(entity,)]), np.array([as_of_ms])).values
            np.testing.assert_array_equal([column[0] for column in found], expected(NAMED, known, as_of_ms))
