"""The soak benchmark's verdict: trends of the second half, and the samples they are taken from."""

import numpy as np
import pytest

from benchmarks.shared.rate import MeasurementError
from benchmarks.shared.stream_run import Probes
from benchmarks.soak.report import SoakSample, plot_soak, soak_rows, soak_table
from benchmarks.soak.sampler import Look, samples_of
from benchmarks.soak.trend import trend_of

MINUTES = [60.0 * at for at in range(61)]


def soak(rss, p50_ms=lambda at_s: 8.0):
    return [SoakSample(at_s, int(rss(at_s)), 10**8, 1_000, 50.0, p50_ms(at_s), 20.0) for at_s in MINUTES]


def test_the_slope_is_that_of_the_line_the_samples_lie_on():
    trend = trend_of(MINUTES, [5.0 + 2.0 * at_s / 3_600 for at_s in MINUTES])
    assert trend.slope_per_hour == pytest.approx(2.0)
    assert trend.mean == pytest.approx(6.5)
    assert trend.growth == pytest.approx(1.0 / 6.5)


def test_noise_around_a_line_hardly_moves_its_slope():
    noise = np.random.default_rng(3).normal(0.0, 0.1, len(MINUTES))
    values = [100.0 - at_s / 3_600 + each for at_s, each in zip(MINUTES, noise, strict=True)]
    assert trend_of(MINUTES, values).slope_per_hour == pytest.approx(-1.0, abs=0.5)


def test_what_happens_in_the_first_half_does_not_count():
    trend = trend_of(MINUTES, [0.0 if at_s < 1_800 else 7.0 for at_s in MINUTES])
    assert (trend.mean, trend.growth) == (7.0, pytest.approx(0.0))


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_few_samples_are_an_error(count):
    with pytest.raises(MeasurementError, match="too few"):
        trend_of(MINUTES[:count], MINUTES[:count])


def flatness(samples):
    return {row.figure: row.flat for row in soak_rows(samples)}


def test_memory_that_grows_by_more_than_a_twentieth_in_the_half_is_not_flat():
    assert not flatness(soak(lambda at_s: 10**8 * (1 + 0.2 * at_s / 3_600)))["processor, resident MB"]
    assert flatness(soak(lambda at_s: 10**8 * (1 + 0.05 * at_s / 3_600)))["processor, resident MB"]


def test_what_becomes_less_is_flat():
    assert all(flatness(soak(lambda at_s: 10**8 - 10**4 * at_s, lambda at_s: 30.0 - at_s / 200)).values())


def test_a_sample_holds_the_probes_that_were_due_in_its_interval():
    due_us = np.arange(0, 30_000_000, 100_000) + 5_000_000_000
    waited_us = np.where(np.arange(300) < 100, 4_000, 9_000)
    looks = [Look(at_s, 10, 20, 30, batches) for at_s, batches in ((0.0, 5.0), (10.0, 105.0), (20.0, 405.0))]
    first, second = samples_of(looks, Probes(due_us, due_us, due_us + waited_us))
    assert (first.p50_ms, first.p99_ms, first.batches_per_s) == (4.0, 4.0, 10.0)
    assert (second.p50_ms, second.at_s, second.batches_per_s) == (9.0, 20.0, 30.0)


def test_an_interval_in_which_nothing_was_due_is_left_out():
    due_us = np.array([1_000_000])
    looks = [Look(at_s, 1, 1, 1, 1.0) for at_s in (0.0, 10.0, 20.0)]
    assert len(samples_of(looks, Probes(due_us, due_us, due_us))) == 1


def test_table_and_picture_show_every_figure(tmp_path):
    samples = soak(lambda _: 10**8)
    table = soak_table(soak_rows(samples))
    assert [cells[-1] for cells in table.rows] == ["yes"] * 4
    plot_soak(samples, tmp_path)
    picture = (tmp_path / "soak.svg").read_bytes()
    assert len(picture) < 200_000
    assert all(label in picture for label in (b"minutes", b"MB", b"batches/s", b"p99"))
