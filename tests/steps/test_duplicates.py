"""Duplicates by event id, against the oracle: which they are, what is remembered, in whatever batches they come."""

import itertools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipelines.contract.plan.types import MAX_EVENT_IDS
from forebay.pipelines.steps.arrays import WholeNumbers
from forebay.pipelines.steps.duplicates import NEVER_MS, IdMemory
from forebay.pipelines.steps.events import EventBatch
from forebay.pipelines.steps.tile_state.row_codec import ABSENT, StoredRow
from forebay.pipelines.steps.windows.aggregate import ViewAggregator
from forebay.pipelines.steps.windows.fold import Events
from tests.oracle import Window, repeated
from tests.support.build import HOUR, INCARNATION, MINUTE, SECOND, SOURCE, START_MS, make_view

WINDOW_MS, MOST = 10, 4
HEADER = object()
"""Any header will do: only its absence says something."""


class Remembering:
    """Rows of some entities that hold nothing but ids, batch after batch."""

    def __init__(self, window_ms=WINDOW_MS, most=MOST):
        self.memory = IdMemory(window_ms, most)
        self.fields, self.newest_ms = {}, {}

    def add(self, events):
        """Which of the (entity, id, event time) triples are duplicates."""
        names = sorted({entity for entity, _, _ in events})
        batch = Events(
            np.array([names.index(entity) for entity, _, _ in events], dtype=np.int64),
            np.array([event_ms for *_, event_ms in events], dtype=np.int64),
            {},
            ids=WholeNumbers(
                np.array([each or 0 for _, each, _ in events]), np.array([each is not None for _, each, _ in events])
            ),
        )
        rows = [StoredRow(b"", b"", self.fields.get(name)) for name in names]
        headers = [HEADER if name in self.fields else None for name in names]
        newest_ms = np.array([self.newest_ms.get(name, NEVER_MS) for name in names])
        remembered = self.memory.unpack(rows, headers)
        found = self.memory.duplicates(remembered, newest_ms, batch)
        counted = batch.take(~found)
        np.maximum.at(newest_ms, counted.entity, counted.event_ms)
        entities = np.unique(counted.entity)
        packed = self.memory.pack(remembered, counted, entities, newest_ms[entities])
        for entity, field in zip(entities.tolist(), packed, strict=True):
            self.fields[names[entity]], self.newest_ms[names[entity]] = field, int(newest_ms[entity])
        return found.tolist()


def by_entity(events):
    """The (id, event time) pairs of each entity, in order."""
    return {
        name: [(each, event_ms) for entity, each, event_ms in events if entity == name]
        for name in {entity for entity, _, _ in events}
    }


def oracle(events, window_ms=WINDOW_MS, most=MOST):
    """Which of the triples are duplicates: each entity by itself."""
    found = {name: iter(repeated(pairs, window_ms, most)) for name, pairs in by_entity(events).items()}
    return [next(found[entity]) for entity, _, _ in events]


def remembered_bytes(events):
    """What each entity's field holds, by its definition."""
    fields = {}
    for name, pairs in by_entity(events).items():
        counted = [pair for pair, again in zip(pairs, repeated(pairs, WINDOW_MS, MOST), strict=True) if not again]
        oldest = max(event_ms for _, event_ms in counted) - WINDOW_MS
        kept = [pair for pair in counted if pair[0] is not None][-MOST:]
        kept = itertools.dropwhile(lambda pair, oldest=oldest: pair[1] < oldest, kept)
        fields[name] = b"".join(struct.pack("<qq", *pair) for pair in kept)
    return fields


def cut(events, sizes):
    events = list(events)
    for size in [*sizes, len(events)]:
        if events:
            yield events[:size]
            events = events[size:]


many_events = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.one_of(st.none(), st.integers(1, 6)),
        st.one_of(st.integers(0, 40), st.sampled_from([20, 30, 31])),
    ),
    min_size=12,
    max_size=40,
)
cuts = st.lists(st.integers(1, 9), max_size=20)


@settings(max_examples=400, deadline=None)
@given(events=many_events, sizes=cuts)
def test_duplicates_are_those_of_the_definition_however_events_are_cut(events, sizes):
    """Any order of times, ids that come back, an id in two entities, none at all, at the edges of window and bound."""
    remembering = Remembering()
    found = [each for batch in cut(events, sizes) for each in remembering.add(batch)]
    assert found == oracle(events)
    assert remembering.fields == remembered_bytes(events)


@settings(max_examples=30, deadline=None)
@given(
    times=st.lists(st.integers(0, 5), min_size=30, max_size=60),
    back=st.lists(st.integers(0, 40), min_size=60, max_size=60),
    sizes=cuts,
)
def test_long_memories_too(times, back, sizes):
    """Time goes on, and any event may be one of the last forty."""
    at = itertools.accumulate(times)
    events = []
    for number, (event_ms, ago) in enumerate(zip(at, back, strict=False)):
        events.append(("a", number, event_ms) if ago > number or ago < 10 else events[number - ago])
    remembering = Remembering(window_ms=80, most=30)
    found = [each for batch in cut(events, sizes) for each in remembering.add(batch)]
    assert found == oracle(events, 80, 30)


class TestEdges:
    def judged(self, *pairs, **how):
        """Of one entity's (id, event time) pairs."""
        return Remembering(**how).add([("a", *pair) for pair in pairs])

    def test_an_event_as_old_as_the_window_is_known_and_an_older_one_is_not(self):
        assert self.judged((1, 0), (2, WINDOW_MS), (1, 0)) == [False, False, True]
        assert self.judged((1, 0), (2, WINDOW_MS + 1), (1, 0)) == [False, False, False]

    def test_its_own_time_may_put_an_event_beyond_the_window(self):
        """An id that is used again later is a new event."""
        assert self.judged((1, 0), (1, WINDOW_MS)) == [False, True]
        assert self.judged((1, 0), (1, WINDOW_MS + 1), (1, WINDOW_MS + 1)) == [False, False, True]

    def test_a_duplicate_makes_nothing_older(self):
        """It is dated later than the first, and is not counted: the next one is judged as if it had not come."""
        assert self.judged((1, 0), (2, 5), (2, WINDOW_MS + 5), (1, 0)) == [False, False, True, True]

    def test_an_event_that_counts_though_its_id_is_known_makes_others_older(self):
        assert self.judged((1, 0), (2, 0), (2, WINDOW_MS + 1), (1, 0)) == [False, False, False, False]

    def test_ids_age_by_what_the_row_counted_before_this_batch(self):
        remembering = Remembering()
        remembering.add([("a", 1, 3 * WINDOW_MS)])
        assert remembering.add([("a", 2, 0), ("a", 2, 0), ("a", 1, 3 * WINDOW_MS)]) == [False, False, True]

    def test_the_last_so_many_ids_are_known_and_the_one_before_is_not(self):
        others = [(number, 0) for number in range(2, 1 + MOST)]
        assert self.judged((1, 0), *others, (1, 0))[-1]
        assert not self.judged((1, 0), *others, (9, 0), (1, 0))[-1]

    def test_duplicates_and_events_without_an_id_take_no_ones_place(self):
        others = [(2, 0), (2, 0), (None, 0), (3, 0), (None, 0), (3, 0), (4, 0)]
        assert self.judged((1, 0), *others, (1, 0))[-1]

    def test_an_event_without_an_id_is_never_a_duplicate(self):
        assert self.judged((None, 0), (None, 0), (None, 0)) == [False] * 3

    def test_an_id_belongs_to_its_entity(self):
        assert Remembering().add([("a", 1, 0), ("b", 1, 0), ("b", 1, 0)]) == [False, False, True]

    def test_a_field_takes_sixteen_bytes_an_event_up_to_its_bound(self):
        remembering = Remembering(window_ms=HOUR, most=MAX_EVENT_IDS)
        for start in range(0, 3_000, 700):
            assert not any(remembering.add([("a", 1 + start + each, START_MS) for each in range(700)]))
            assert len(remembering.fields["a"]) == 16 * min(start + 700, 1_024)


class TestIds:
    def ids(self, name, values):
        events = [type("Event", (), {name: value}) for value in values]
        return EventBatch(SOURCE, events, np.arange(len(values)), np.arange(len(values))).ids(name)

    def test_whole_numbers_are_exact(self):
        """Ids of 64 bits differ in their last one, where a float64 is long past its precision."""
        values = [2**62, 2**62 + 1, -(2**63), 2**63 - 1, 0, None]
        ids = self.ids("items", values)
        assert ids.values[:5].tolist() == values[:5]
        assert ids.known.tolist() == [True] * 5 + [False]

    def test_texts_are_hashed_the_same_everywhere(self):
        """What is stored today must be found by a process of tomorrow."""
        ids = self.ids("merchant", ["p1", "p2", "p1", "ß\udce9", None, ""])
        assert ids.values.tolist()[:3] == [-9032840179063523349, 8069292045054636054, -9032840179063523349]
        assert ids.known.tolist() == [True] * 4 + [False] * 2


class TestDamaged:
    VIEW = make_view([Window("count", "", HOUR, 5 * MINUTE)])

    @pytest.mark.parametrize("ids", [None, b"\0", b"\0" * 15, b"\0" * 24])
    def test_a_row_whose_ids_are_gone_or_cut_short_is_an_error(self, ids):
        with pytest.raises(ValueError, match="16 bytes"):
            IdMemory(SECOND).unpack([ABSENT, StoredRow(b"", b"", ids)], [None, HEADER])

    def test_an_absent_row_remembers_nothing(self):
        remembered = IdMemory(SECOND).unpack([ABSENT, StoredRow(b"", b"", b"\1" * 16)], [None, None])
        assert len(remembered.ids) == 0

    def test_events_without_ids_are_refused_where_they_are_needed(self):
        events = Events(np.zeros(1, np.int64), np.zeros(1, np.int64), {})
        with pytest.raises(ValueError, match="without ids"):
            IdMemory(SECOND).first_ones(events, 1)

    def test_a_view_without_ids_has_none_in_its_rows(self):
        events = Events(np.zeros(2, np.int64), np.full(2, START_MS), {})
        result = ViewAggregator(self.VIEW)([ABSENT], events, np.arange(2), INCARNATION, np.zeros(1, np.int64))
        assert [row.ids for row in result.rows] == [None]
        assert len(result.duplicates) == 0
