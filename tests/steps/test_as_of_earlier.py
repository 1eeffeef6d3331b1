"""Rows as of times before their newest event, judged by an oracle that keeps every event for ever."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle import Event, Window
from tests.steps.test_tiles_properties import histories, horizons, last_ms, of, resolutions
from tests.support.build import EVERY_FUNCTION, HOUR, MINUTE, START_MS, Folded, expected, make_view, same

moderately = settings(max_examples=60, deadline=None)
DAY = 24 * HOUR
COUNTS = [Window("count", "", *sizes) for sizes in ((15 * MINUTE, 5 * MINUTE), (DAY, HOUR), (3 * DAY, HOUR))]


def event(at_ms):
    return Event("card", at_ms, {"amount": 1.0, "items": None, "merchant": None})


def five_events_then(*later_ms):
    """Five events from 10:00 to 10:20, and some more."""
    times = [START_MS + at * 5 * MINUTE for at in range(5)]
    return [event(at_ms) for at_ms in [*times, *later_ms]]


@pytest.mark.parametrize(("later_ms", "horizon_ms"), [(3 * HOUR, 3 * HOUR), (5 * DAY, 5 * DAY)])
def test_a_later_event_takes_nothing_from_earlier_windows_inside_the_horizon(later_ms, horizon_ms):
    events = five_events_then(START_MS + later_ms)
    view = make_view(COUNTS, scoring_horizon_ms=horizon_ms)
    folded = Folded(view).add(events, 0)
    as_of_ms = START_MS + 30 * MINUTE
    assert folded.values(["card"], [as_of_ms]) == [[1.0, 5.0, 5.0]]
    assert max(folded.whole_from_ms(["card"])[0]) <= as_of_ms


def test_events_from_later_in_the_open_slide_are_not_counted():
    """As of 10:30, those of 10:35 and 10:55 are not in windows that move by the hour."""
    events = five_events_then(START_MS + 35 * MINUTE, START_MS + 55 * MINUTE)
    folded = Folded(make_view(COUNTS)).add(events, 0)
    assert folded.values(["card"], [START_MS + 30 * MINUTE]) == [[1.0, 5.0, 5.0]]


def test_beyond_the_horizon_each_window_says_from_when_on_it_is_whole():
    folded = Folded(make_view(COUNTS)).add(five_events_then(START_MS + 5 * DAY), 0)
    # The tiles from 10:00 to 10:25, and the hour from 10:00, have been dropped: each window must have left them behind.
    assert folded.whole_from_ms(["card"])[0] == [START_MS + 35 * MINUTE, START_MS + DAY, START_MS + 3 * DAY]


def test_an_entity_of_which_nothing_was_dropped_is_whole_at_any_time():
    folded = Folded(make_view(COUNTS)).add([event(START_MS), event(START_MS + 30 * MINUTE)], 0)
    assert max(folded.whole_from_ms(["card"])[0]) < START_MS - 1_000 * DAY


def test_an_absent_row_is_whole_only_where_no_removed_row_could_have_had_an_event():
    folded = Folded(make_view(COUNTS))
    whole = folded.whole_from_ms(["card"], removed_before_ms=START_MS)[0]
    assert whole == [START_MS + 10 * MINUTE, START_MS + 23 * HOUR, START_MS + 71 * HOUR]


@moderately
@given(events=histories, data=st.data())
def test_a_window_that_says_it_is_whole_equals_the_oracle_as_of_any_time(events, data):
    view = make_view(EVERY_FUNCTION, scoring_horizon_ms=data.draw(horizons), resolution_ms=data.draw(resolutions))
    folded = Folded(view).add(events, 0)
    entities = ["a", "b", "c"]
    as_of = [START_MS + data.draw(st.integers(-HOUR, 4 * HOUR)) for _ in entities]
    whole = np.array(folded.whole_from_ms(entities)) <= np.array(as_of)[:, np.newaxis]
    found = folded.values(entities, as_of)
    for at, entity in enumerate(entities):
        oracle = expected(view, of(events, entity), as_of[at])
        same([found[at][f] for f in np.flatnonzero(whole[at])], [oracle[f] for f in np.flatnonzero(whole[at])])
        if as_of[at] >= last_ms(events, entity) - view.scoring_horizon_ms:
            assert whole[at].all()
