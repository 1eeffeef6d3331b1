"""The paced stream of the benchmarks: a schedule made before, and probes that only they pay with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.freshness.run import WARM_UP_S, freshness_row
from benchmarks.shared.percentiles import percentiles_of
from benchmarks.shared.rate import MeasurementError
from benchmarks.shared.schedule import Schedule, now_us
from benchmarks.shared.stream_load import PROBE_CARDS, StreamLoad, timeline
from benchmarks.shared.stream_run import Probes

LOAD = StreamLoad(rate=1_000, seconds=30, probes_per_s=100, cards=500)


@given(
    start_us=st.integers(0, 10**15),
    rate=st.integers(1, 1_000_000),
    at=st.integers(0, 10**6),
    later_us=st.integers(0, 10**7),
)
def test_exactly_the_events_whose_time_has_come_are_due(start_us, rate, at, later_us):
    schedule = Schedule(start_us, rate, 10**6)
    now = schedule.due_us(at) + later_us
    due = schedule.due_by(now)
    assert due == 0 or schedule.due_us(due - 1) <= now
    assert due == schedule.count or schedule.due_us(due) > now


def test_nothing_is_due_before_the_start():
    assert Schedule(1_000, 10, 5).due_by(999) == 0
    assert Schedule(1_000, 10, 5).due_by(1_000) == 1


def test_a_late_producer_is_handed_all_that_is_due_at_once_and_the_rest_in_time():
    schedule = Schedule(now_us() - 50_000, 1_000, 60)
    ranges = []
    for due in schedule.due():
        assert schedule.due_us(due[-1]) <= now_us()
        ranges.append(due)
    assert len(ranges[0]) >= 50
    assert [at for due in ranges for at in due] == list(range(60))


def test_every_probe_pays_with_a_card_of_its_own_and_nobody_else_does():
    cards = LOAD.event_cards()
    probes = cards[LOAD.probe_events()]
    assert len(cards) == 30_000
    assert len(set(probes.tolist())) == len(probes) == 3_000
    assert (np.delete(cards, LOAD.probe_events()) < LOAD.cards).all()
    assert (probes >= LOAD.cards).all()


def test_probe_cards_take_turns_when_there_are_more_probes():
    load = StreamLoad(rate=10_000, seconds=60, probes_per_s=500, cards=10)
    assert set(load.probe_cards().tolist()) == set(range(10, 10 + PROBE_CARDS))


def test_the_same_load_is_the_same_events():
    assert (LOAD.event_cards() == LOAD.event_cards()).all()


@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_event_time_has_caught_up_with_the_clock_when_the_stream_ends(speed):
    load = StreamLoad(rate=1_000, seconds=100, probes_per_s=10, event_speed=speed)
    line = timeline(load, start_us=7_000_000, now_us=5_000_000, wall_ms=1_000_000_000_000)
    first, last = line.event_ms(load, np.array([0, load.count])).tolist()
    assert last == 1_000_000_000_000 + 2_000 + 100_000
    assert last - first == 100_000 * speed


def test_what_was_due_during_the_warm_up_is_not_counted():
    due_us = LOAD.probe_events() * 1_000
    slow_start = np.where(due_us < WARM_UP_S * 1_000_000, 900_000, 5_000)
    row = freshness_row("forebay", LOAD, Probes(due_us, due_us + 1_000, due_us + slow_start))
    assert (row.probes, row.p50_ms, row.max_ms, row.produced_late_p99_ms) == (2_000, 5.0, 5.0, 1.0)
    assert row.events_per_s == pytest.approx(1_000)


def test_percentiles_are_those_of_the_sorted_times_in_milliseconds():
    times_us = list(range(1_000, 102_000, 1_000))
    assert percentiles_of(times_us[::-1]) == (51.0, 91.0, 100.0, 101.0)


def test_nothing_measured_is_an_error_and_no_row():
    with pytest.raises(MeasurementError, match="nothing was measured"):
        percentiles_of([])
