"""Sums, means and variances against exact arithmetic (`fractions`), however events are cut into tiles and batches."""

import math
from fractions import Fraction

import numpy as np
import pytest

from tests.oracle import Event, Window
from tests.support.build import HOUR, MINUTE, SECOND, START_MS, Folded, make_view

LATEST_MS = START_MS + HOUR - 1
FUNCTIONS = ("var", "std", "sum", "mean", "decayed_sum_5m")


def folded(values, slide_ms, batch, functions=FUNCTIONS):
    """The features of one card that paid these amounts in the last hour, in an order that is not that of time."""
    steps = np.random.default_rng(len(values)).permutation(len(values)) * (HOUR // len(values))
    events = [
        Event("a", START_MS + int(at), {"amount": value}) for at, value in zip(steps.tolist(), values, strict=True)
    ]
    view = make_view([Window(each, "amount", HOUR, slide_ms) for each in functions])
    rows = Folded(view)
    for start in range(0, len(events), batch):
        rows.add(events[start : start + batch], start)
    (found,) = rows.values(["a"], [LATEST_MS])
    return found, events


def exact_variance(values):
    """In two passes, without rounding."""
    numbers = [Fraction(value) for value in values]
    mean = sum(numbers) / len(numbers)
    return sum((each - mean) ** 2 for each in numbers) / (len(numbers) - 1)


def error(found, truth):
    return abs(float((Fraction(found) - truth) / truth))


@pytest.mark.parametrize(("slide_ms", "batch"), [(HOUR, 1_000), (5 * MINUTE, 7), (MINUTE, 1), (10 * SECOND, 100)])
class TestVariance:
    @pytest.mark.parametrize(("mean", "bound"), [(0.0, 1e-12), (3.0, 1e-12), (1e5, 1e-7), (1e10, 1e-7)])
    def test_it_loses_little_however_far_the_mean_is(self, slide_ms, batch, mean, bound):
        for seed in range(2):
            values = (np.random.default_rng(seed).normal(mean, 1.0, 240)).tolist()
            (variance, std, *_), _ = folded(values, slide_ms, batch)
            truth = exact_variance(values)
            assert error(variance, truth) <= bound
            assert std == math.sqrt(variance)

    @pytest.mark.parametrize("value", [0.1, 19.99, 1234.56, -1e9, 812_345_678.0])
    def test_of_equal_values_it_is_zero(self, slide_ms, batch, value):
        (variance, std, *_), _ = folded([value] * 7, slide_ms, batch)
        assert (variance, std) == (0.0, 0.0)

    @pytest.mark.parametrize(
        "values",
        [
            [1e9 + 1, 1e9 + 2, 1e9 + 3],
            [START_MS + 1_000.0 * at for at in range(6)],
            [812_345_678.0 + at for at in range(10)],
            [40.712776, 40.712778, 40.71278, 40.712777],
        ],
    )
    def test_what_squares_would_cancel_is_right(self, slide_ms, batch, values):
        (variance, *_), _ = folded(values, slide_ms, batch)
        assert error(variance, exact_variance(values)) <= 1e-12


@pytest.mark.parametrize(("slide_ms", "batch"), [(HOUR, 1_000), (5 * MINUTE, 7), (MINUTE, 1)])
@pytest.mark.parametrize(
    "values",
    [
        [0.1] * 500,
        [1e16, 1.0, 1.0, -1e16, 2.5] * 20,
        np.random.default_rng(1).lognormal(0, 12, 300).tolist(),
        (np.random.default_rng(2).normal(0, 1, 300) * 10.0 ** np.random.default_rng(3).integers(-9, 9, 300)).tolist(),
    ],
    ids=["tenths", "cancelling", "skewed", "mixed"],
)
def test_sums_and_means_are_rounded_about_once(slide_ms, batch, values):
    (_, _, total, mean, decayed), events = folded(values, slide_ms, batch)
    truth = sum(map(Fraction, values))
    assert error(total, truth) <= 4e-16
    assert error(mean, truth / len(values)) <= 4e-16
    weighted = [Fraction(each.values["amount"]) * power_of_half(each.event_ms) for each in events]
    size = float(sum(map(abs, weighted)))
    assert abs(decayed - float(sum(weighted))) <= 1e-13 * size


def power_of_half(event_ms):
    """The weight of an event, of a half-life of five minutes."""
    return Fraction(2.0 ** ((event_ms - LATEST_MS) / (5 * MINUTE)))


def test_a_sum_beyond_every_float_is_null():
    (total, mean), _ = folded([1e308] * 4, MINUTE, 2, ("sum", "mean"))
    assert (total != total, mean != mean) == (True, True)
