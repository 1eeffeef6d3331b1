"""Tiles and windows against the oracle: whatever the events, their order and their cut into batches."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipelines.steps.tile_state.row_codec import ABSENT
from forebay.pipelines.steps.windows.layout import Kind, tile_groups
from tests.oracle import Event, Window, exact_value_as_of
from tests.support.build import (
    EVERY_FUNCTION,
    HOUR,
    INCARNATION,
    MINUTE,
    SECOND,
    START_MS,
    WINDOWS,
    Folded,
    as_columns,
    expected,
    make_view,
    rows_of,
    same,
)

moderately = settings(max_examples=60, deadline=None)

numbers = st.one_of(
    st.none(),
    st.just(float("nan")),
    st.sampled_from([0.0, -0.0, 1.0, 0.1, -2.5, 1e-300]),
    st.floats(-1e6, 1e6, allow_nan=False),
)
times = st.one_of(
    st.integers(0, 10).map(lambda at: START_MS + at * SECOND),
    st.integers(0, 40).map(lambda at: START_MS + at * 5 * MINUTE),
    st.integers(0, 3 * HOUR).map(lambda at: START_MS + at),
)
texts = st.one_of(st.none(), st.sampled_from(["", "a", "b", "ab", "ß", "\U0001f6eb", "a\0b"]), st.text(max_size=60))
events_of = st.builds(
    lambda entity, event_ms, amount, items, merchant: Event(
        entity, event_ms, {"amount": amount, "items": items, "merchant": merchant}
    ),
    st.sampled_from(["a", "b", "c"]),
    times,
    numbers,
    st.one_of(st.none(), st.integers(-(2**60), 2**60).map(float)),
    texts,
)
histories = st.lists(events_of, min_size=1, max_size=40)
horizons = st.sampled_from([0, 7 * SECOND, 10 * MINUTE, HOUR])
resolutions = st.sampled_from([None, SECOND])
some_windows = st.lists(st.sampled_from(EVERY_FUNCTION), min_size=1, max_size=12, unique=True)


def cut(events, cuts):
    """The events in batches, with the offset of each batch's first record."""
    bounds = [0, *sorted({at % (len(events) + 1) for at in cuts}), len(events)]
    return [(start, events[start:end]) for start, end in itertools.pairwise(bounds) if end > start]


def of(events, entity):
    return [event for event in events if event.entity == entity]


def last_ms(events, entity):
    return max((event.event_ms for event in of(events, entity)), default=START_MS)


@moderately
@given(events=histories, windows=some_windows, cuts=st.lists(st.integers(0, 40), max_size=4), data=st.data())
def test_every_window_equals_the_oracle_to_the_last_bit(events, windows, cuts, data):
    """Any order, lateness, gaps, nulls, batches, and any time from the scoring horizon before the last event on."""
    view = make_view(windows, scoring_horizon_ms=data.draw(horizons), resolution_ms=data.draw(resolutions))
    folded = Folded(view)
    for offset, batch in cut(events, cuts):
        folded.add(batch, offset)
    entities = ["a", "b", "c", "a"]
    horizon_ms = view.scoring_horizon_ms
    as_of = [last_ms(events, each) + data.draw(st.integers(-horizon_ms, 2 * HOUR)) for each in entities]
    oracle = [expected(view, of(events, each), at) for each, at in zip(entities, as_of, strict=True)]
    same(folded.values(entities, as_of), oracle)


@moderately
@given(events=histories, cuts=st.lists(st.integers(0, 40), max_size=6))
def test_the_cut_into_batches_changes_no_stored_byte(events, cuts):
    """One batch of everything, and any other cut, store the same bytes."""
    view = make_view(EVERY_FUNCTION)
    at_once = Folded(view).add(events, 0)
    in_batches = Folded(view)
    for offset, batch in cut(events, cuts):
        in_batches.add(batch, offset)
    assert in_batches.rows == at_once.rows


@moderately
@given(events=histories, start=st.integers(0, 40), end=st.integers(0, 40))
def test_records_that_are_contained_are_skipped(events, start, end):
    """Reading any stretch of old records again changes nothing."""
    folded = Folded(make_view(EVERY_FUNCTION)).add(events, 0)
    before = dict(folded.rows)
    again = events[start:end]
    if again:
        folded.add(again, start)
    assert folded.rows == before


@moderately
@given(events=histories, at=st.integers(0, 40))
def test_a_batch_that_overlaps_the_last_one_adds_only_what_is_new(events, at):
    """A retry that reaches further than the first attempt counts nothing twice."""
    view = make_view(EVERY_FUNCTION)
    overlapping = Folded(view).add(events[: at + 1], 0).add(events, 0)
    assert overlapping.rows == Folded(view).add(events, 0).rows


@moderately
@given(events=histories)
def test_the_fold_writes_the_values_as_of_the_last_event(events):
    """What goes into Feast's own fields is the oracle's value as of each entity's newest event."""
    view = make_view(EVERY_FUNCTION)
    folded = Folded(view)
    entities = sorted({event.entity for event in events})
    batch = as_columns(view, events, entities)
    result = folded.aggregate(
        [ABSENT] * len(entities), batch, np.arange(len(events)), INCARNATION, np.zeros(len(entities), int)
    )
    newest = [last_ms(events, each) for each in entities]
    assert result.last_event_ms.tolist() == newest
    oracle = [expected(view, of(events, each), at) for each, at in zip(entities, newest, strict=True)]
    same(rows_of(folded.aggregate.values(result, np.ones(len(entities), bool))), oracle)
    some = np.arange(len(entities)) % 2 == 1
    same(rows_of(folded.aggregate.values(result, some)), oracle[1::2])


@moderately
@given(events=st.lists(events_of, min_size=1, max_size=40), sizes=st.sampled_from(WINDOWS))
def test_sums_are_close_to_the_exact_ones(events, sizes):
    """Adding tile by tile loses no more than double precision does."""
    windows = [Window(function, "amount", *sizes) for function in ("sum", "mean", "decayed_sum_90s", "var", "std")]
    folded = Folded(make_view(windows)).add(events, 0)
    at = last_ms(events, events[0].entity)
    values = np.array(folded.values([events[0].entity], [at])[0])
    exact = [exact_value_as_of(each, of(events, events[0].entity), at) for each in windows]
    np.testing.assert_allclose(values[:4], exact[:4], rtol=1e-9, atol=1e-2)
    np.testing.assert_allclose(values[4] ** 2, exact[3], rtol=1e-9, atol=1e-2)


def test_functions_that_keep_values_of_one_column_share_what_they_keep():
    """The longest list of the slide is kept, and the last text with it; one slide's tiles are not another's."""
    windows = [
        *(Window(each, "merchant", HOUR, MINUTE) for each in ("last_3", "last_10", "last", "first", "top_3", "top_9")),
        Window("last_2", "merchant", HOUR, HOUR),
    ]
    minutes, hours = tile_groups(make_view(windows))
    assert dict(zip((each.kind for each in minutes.sketches), minutes.kept, strict=True)) == {
        Kind.NEWEST: 10,
        Kind.OLDEST: 1,
        Kind.FREQUENT: 0,
    }
    assert hours.kept == (2,)


class TestDrawn:
    """Cases small enough to draw; one minute per tile, `|` marks the time asked."""

    def values(self, function, events, as_of_ms, window_ms=2 * MINUTE, slide_ms=MINUTE):
        view = make_view([Window(function, "" if function == "count" else "amount", window_ms, slide_ms)])
        made = [Event("a", START_MS + at, {"amount": amount}) for at, amount in events]
        return Folded(view).add(made, 0).values(["a"], [START_MS + as_of_ms])[0][0]

    def test_the_tail_moves_in_slides_and_the_head_is_exact(self):
        """[e . . .][. e . |]: both inside; one slide later only the second."""
        events = [(0, 1.0), (70 * SECOND, 2.0)]
        assert self.values("sum", events, 119_999) == 3.0
        assert self.values("sum", events, 120_000) == 2.0

    def test_a_tile_includes_its_start_and_excludes_its_end(self):
        assert self.values("count", [(0, 1.0), (MINUTE - 1, 1.0), (MINUTE, 1.0)], MINUTE, MINUTE, MINUTE) == 1.0

    def test_of_equal_times_first_is_the_first_to_arrive_and_last_the_last(self):
        events = [(10, 1.0), (10, 2.0), (10, 3.0)]
        assert (self.values("first", events, 10), self.values("last", events, 10)) == (1.0, 3.0)

    def test_a_late_event_repairs_first_but_not_last(self):
        events = [(20, 1.0), (10, 2.0)]
        assert (self.values("first", events, 20), self.values("last", events, 20)) == (2.0, 1.0)

    def test_first_and_last_skip_events_without_a_value(self):
        events = [(5, None), (10, 1.0), (20, 2.0), (25, float("nan"))]
        assert (self.values("first", events, 30), self.values("last", events, 30)) == (1.0, 2.0)

    def test_the_newest_values_are_by_time_and_of_equal_times_the_later_to_arrive_is_newer(self):
        """A late event takes its place; lists end where values do."""
        events = [(10, 1.0), (20, 2.0), (20, 3.0), (15, 4.0), (5, 5.0), (30, None)]
        assert self.values("last_3", events, 30) == [3.0, 2.0, 4.0]
        assert self.values("last_100", events, 30) == [3.0, 2.0, 4.0, 1.0, 5.0]

    def test_the_most_frequent_values_come_first_and_the_smaller_of_equally_frequent_ones(self):
        events = [(0, 3.0), (1, 2.0), (MINUTE, 1.0), (MINUTE + 1, 3.0), (MINUTE + 2, None), (MINUTE + 3, -1.0)]
        assert self.values("top_2", events, MINUTE + 5) == [3.0, -1.0]
        assert self.values("top_100", events, MINUTE + 5) == [3.0, -1.0, 1.0, 2.0]

    def test_an_entity_that_fell_silent_has_empty_windows(self):
        """Nobody writes; the window empties by itself."""
        assert self.values("count", [(0, 1.0)], HOUR) == 0.0
        assert np.isnan(self.values("mean", [(0, 1.0)], HOUR))
        assert self.values("last_3", [(0, 1.0)], HOUR) == self.values("top_3", [(0, 1.0)], HOUR) == []

    def test_one_value_has_no_sample_variance(self):
        assert np.isnan(self.values("var", [(0, 1.0)], 0))
        assert self.values("var", [(0, 1.0), (1, 3.0)], 1) == 2.0

    def test_time_since_last_is_in_seconds_and_never_negative(self):
        assert self.values("time_since_last", [(500, 1.0), (600, None)], 2_000) == 1.5
        assert self.values("time_since_last", [(500, 1.0)], 100) == 0.0

    @pytest.mark.parametrize("function", ["sum", "mean", "max"])
    def test_infinity_made_by_a_function_of_the_view_stays_in_its_windows(self, function):
        """It poisons the windows that hold it, and no later one."""
        events = [(0, float("inf")), (3 * MINUTE, 1.0)]
        assert self.values(function, events, 3 * MINUTE) == 1.0
