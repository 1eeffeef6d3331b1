"""Throughput, from looks at a system's progress."""

from types import SimpleNamespace

import pytest

from benchmarks.shared import rate
from benchmarks.shared.rate import MeasurementError, Sample, rate_of, watch


@pytest.fixture
def clock(monkeypatch):
    """A clock that only `sleep` moves."""
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    clock.sleep = lambda seconds: setattr(clock, "now", clock.now + seconds)
    monkeypatch.setattr(rate, "time", clock)
    return clock


def looked(clock, progress, total, seconds):
    """What is seen of a system whose progress is a function of the seconds since the beginning."""
    return watch(lambda: progress(clock.now - 100.0), total, seconds, lambda: None)


def test_a_system_that_comes_forward_in_large_steps_gets_its_last_one(clock):
    """A thousand every 3 s: stopped after 8 s, it would have been given 2,000 in 8 s."""
    samples = looked(clock, lambda at: 1_000 * int(at / 3), 1_000_000, 8)
    assert rate_of(samples).events_per_s == pytest.approx(1_000 / 3, rel=0.02)


def test_one_that_stalls_pays_for_it(clock):
    """It is waited for, and the time counts."""
    samples = looked(clock, lambda at: int(1_000 * (at if at < 5 else max(5, at - 60))), 1_000_000, 8)
    assert rate_of(samples).events_per_s == pytest.approx(5_000 / 65, rel=0.02)


def test_the_end_of_the_topic_ends_it(clock):
    samples = looked(clock, lambda at: min(2_000, int(1_000 * at)), 2_000, 60)
    assert samples[-1].at_s == pytest.approx(102, abs=0.1)
    assert rate_of(samples).events_per_s == pytest.approx(1_000, rel=0.05)


@pytest.mark.parametrize("most", [0, 700])
def test_one_that_stands_still_is_an_error(clock, most):
    with pytest.raises(MeasurementError, match="no progress for 90 s"):
        looked(clock, lambda at: min(most, int(1_000 * at)), 1_000, 8)


def test_a_single_look_is_no_rate():
    with pytest.raises(MeasurementError, match="give more"):
        rate_of([Sample(0.0, 5)])
