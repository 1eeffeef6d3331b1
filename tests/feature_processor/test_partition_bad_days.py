"""Rows stay the fold of their records, whatever the day: failures, kills, stale writers, a store that lost writes."""

import copy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.errors import StoreRolledBack, StoreUnavailable
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
    CARDS,
    assert_folded,
    batches,
    card,
    cuts_of,
    moderately,
    progress,
    start,
)
from tests.support.build import HOUR, SECOND, record

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


def assert_exact(store, pairs):
    assert_folded(store, CARDS, "abc", pairs)


class TestBadDays:
    @moderately
    @given(events=events_of_cards, sizes=cuts_of)
    def test_the_state_is_the_fold_of_the_records(self, events, sizes):
        """Any batches: rows, fences and late events are what the oracle says."""
        store, pairs = MemoryStore(), list(enumerate(events))
        pipeline = run(store, [record(*each) for each in pairs], sizes, lambda: start(store, CARDS))
        assert_exact(store, in_time(pairs))
        assert len(pipeline.topic.parts.producer.to("payments.late")) == len(pairs) - len(in_time(pairs))
        assert progress(store) == len(events) - 1

    @moderately
    @given(events=events_of_cards, sizes=cuts_of, failures=failing_calls)
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
    @given(events=events_of_cards, sizes=cuts_of, takeover=takeovers)
    @example(events=[card("a", at) for at in range(3)], sizes=[], takeover=OVERTAKEN)
    def test_a_stale_writer_is_refused_and_its_retry_is_harmless(self, events, sizes, takeover):
        """A paused process comes back after another took over, and writes on; a third one then starts afresh."""
        store, pairs = MemoryStore(), list(enumerate(events))
        records = [record(*each) for each in pairs]
        take_over(lambda: start(store, CARDS), records, sizes, takeover)
        assert_exact(store, in_time(pairs))
        run(store, records, sizes, lambda: start(store, CARDS))
        assert_exact(store, in_time(pairs))

    @moderately
    @given(events=events_of_cards, sizes=cuts_of, loss=losses)
    def test_a_store_that_lost_its_last_writes_is_made_whole_again(self, events, sizes, loss):
        """It answers as it was some batches ago, behind a connection that broke."""
        store, pairs = FlakyStore(), list(enumerate(events))
        records = [record(*each) for each in pairs]
        lose_writes(store, lambda: start(store, CARDS), records, sizes, loss)
        run(store, records, sizes, lambda: start(store, CARDS))
        assert_exact(store, in_time(pairs))


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
        pipeline = start(MemoryStore(), CARDS)
        pipeline.process([record(0, card("a", 0))])
        assert not pipeline.ledger.has_fallen_back()
