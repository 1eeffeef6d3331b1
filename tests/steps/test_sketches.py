"""Sketches: exact while there are few values, within their stated error beyond, and a function of the values alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipelines.history.as_of import ViewHistory
from forebay.pipelines.steps.decode.decoder import decoder_for
from forebay.pipelines.steps.identities import float_identities
from forebay.pipelines.steps.tile_state.sketches import BLOCK, Quantiles, absorb_digest, absorb_distinct, add, distinct
from forebay.pipelines.steps.validate import Validator
from tests.oracle import Event, Window
from tests.support.build import HOUR, MINUTE, SOURCE, START_MS, Folded, make_view, record, rows_of, same

SEEDS = range(20)
ABSORB = [absorb_distinct, absorb_digest]
PERCENTS = (1, 10, 50, 90, 99)

SHAPES = {
    "uniform": lambda rng, n: rng.random(n),
    "normal": lambda rng, n: rng.normal(size=n),
    "lognormal": lambda rng, n: rng.lognormal(0.0, 2.0, n),
    "ascending": lambda rng, n: np.arange(n, dtype=np.float64),
    "few values": lambda rng, n: rng.integers(0, 7, n).astype(np.float64),
}


def payloads_of(absorb, values, tiles):
    """The values in so many tiles of about the same size."""
    return [add(absorb, b"", each) for each in np.array_split(taken(absorb, values), tiles)]


def taken(absorb, values):
    """The values as this sketch takes them."""
    return float_identities(values).values if absorb is absorb_distinct else values


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, 5 * BLOCK), max_size=8), absorb=st.sampled_from(ABSORB))
def test_the_cut_into_batches_changes_no_byte(cuts, absorb):
    values = taken(absorb, np.random.default_rng(1).normal(size=5 * BLOCK))
    payload = b""
    for part in np.split(values, sorted(cuts)):
        payload = add(absorb, payload, part)
    assert payload == add(absorb, b"", values)


class TestDistinct:
    @pytest.mark.parametrize("count", [0, 1, BLOCK - 1])
    def test_few_values_are_counted_exactly(self, count):
        values = np.arange(count, dtype=np.float64)
        assert distinct(payloads_of(absorb_distinct, np.repeat(values, 2), 3)) == count

    def test_minus_zero_is_zero(self):
        assert distinct(payloads_of(absorb_distinct, np.array([0.0, -0.0]), 1)) == 1.0
        many = np.where(np.arange(2 * BLOCK) % 2, 0.0, -0.0)
        assert distinct(payloads_of(absorb_distinct, many, 1)) == 1.0

    @pytest.mark.parametrize("tiles", [1, 12])
    @pytest.mark.parametrize("count", [1_000, 50_000])
    def test_many_values_are_counted_within_the_stated_error(self, count, tiles):
        """Relative standard error 1.6 %: no seed beyond four of them, the mean of all within one."""
        errors = []
        for seed in SEEDS:
            values = np.random.default_rng(seed).random(count)
            errors.append(distinct(payloads_of(absorb_distinct, np.tile(values, 2), tiles)) / count - 1)
        assert max(map(abs, errors)) < 4 * 0.016
        assert abs(np.mean(errors)) < 0.016

    def test_a_value_in_several_tiles_counts_once(self):
        values = np.arange(1_000, dtype=np.float64)
        assert distinct(payloads_of(absorb_distinct, values, 1) * 5) == pytest.approx(1_000, rel=4 * 0.016)


class TestQuantiles:
    def test_nothing_has_no_quantile(self):
        assert np.isnan(Quantiles([]).value(50))
        assert np.isnan(Quantiles([b"", b""]).value(50))

    @pytest.mark.parametrize("percent", PERCENTS)
    def test_few_values_have_exact_quantiles(self, percent):
        values = np.random.default_rng(3).normal(size=BLOCK - 1)
        exact = np.quantile(values, percent / 100, method="inverted_cdf")
        assert Quantiles(payloads_of(absorb_digest, values, 4)).value(percent) == exact

    @pytest.mark.parametrize("tiles", [1, 12])
    @pytest.mark.parametrize("shape", SHAPES)
    def test_many_values_have_quantiles_within_the_stated_rank_error(self, shape, tiles):
        """The share of values below and up to the answer brackets the percentage, give or take 2 %."""
        for seed in SEEDS:
            values = SHAPES[shape](np.random.default_rng(seed), 20_000)
            quantiles = Quantiles(payloads_of(absorb_digest, values, tiles))
            for percent in PERCENTS:
                answer = quantiles.value(percent)
                assert np.mean(values < answer) - 0.02 <= percent / 100 <= np.mean(values <= answer) + 0.02


@pytest.mark.parametrize("absorb", ABSORB)
def test_a_payload_has_a_largest_size(absorb):
    values = taken(absorb, np.random.default_rng(4).lognormal(size=200_000))
    sizes = [len(add(absorb, b"", values[:count])) for count in (BLOCK - 1, 1_000, 10_000, 100_000, 200_000)]
    assert max(sizes) < 6_000


class TestViews:
    WINDOWS = tuple(
        Window(function, column, *sizes)
        for column, functions in {
            "amount": ("count_distinct", "p50", "p99", "decayed_sum_90s", "last_3", "top_3"),
            "merchant": ("count_distinct", "first", "last", "last_3", "top_3"),
        }.items()
        for function in functions
        for sizes in ((HOUR, 5 * MINUTE), (HOUR, HOUR))
    )

    def events(self, count):
        rng = np.random.default_rng(5)
        times = np.sort(rng.integers(0, 40 * MINUTE, count)).tolist()
        amounts = rng.integers(0, 900, count).tolist()
        return [
            Event("ab"[at % 2], START_MS + time, {"amount": float(amount), "merchant": f"é {amount}"})
            for at, (time, amount) in enumerate(zip(times, amounts, strict=True))
        ]

    def test_rows_of_many_events_do_not_depend_on_batches(self):
        """Over the border of a block, closed tiles and the open one."""
        events, view = self.events(2_000), make_view(self.WINDOWS)
        in_batches = Folded(view)
        for start in range(0, len(events), 37):
            in_batches.add(events[start : start + 37], start)
        assert in_batches.rows == Folded(view).add(events, 0).rows

    def test_history_says_what_the_stream_says_to_the_bit(self):
        events, view = self.events(1_200), make_view(self.WINDOWS)
        folded = Folded(view).add(events, 0)
        last = [max(event.event_ms for event in events if event.entity == each) for each in "ab"]
        payloads = [record(at, event).value for at, event in enumerate(events)]
        batch, _ = Validator(SOURCE, {"card"})(decoder_for(SOURCE, None)(payloads).events, None)
        history = ViewHistory(view, batch)
        found = history.as_of(history.codes([("a",), ("b",)]), np.array(last))
        same(rows_of(found.values), folded.values("ab", last))


class TestText:
    def batch(self, names):
        events = [{"event_ms": START_MS + at, "card": "a", "merchant": name} for at, name in enumerate(names)]
        payloads = [record(at, event).value for at, event in enumerate(events)]
        return Validator(SOURCE, {"card"})(decoder_for(SOURCE, None)(payloads).events, None)[0]

    def test_equal_texts_are_equal_numbers_and_null_is_none(self):
        identities = self.batch(["x", "ß", None, "x", ""]).identities("merchant")
        assert identities.known.tolist() == [True, True, False, True, True]
        assert identities.values[0] == identities.values[3]
        assert len(set(identities.values[[0, 1, 4]].tolist())) == 3

    def test_distinct_texts_of_history_are_counted(self):
        view = make_view([Window("count_distinct", "merchant", HOUR, 5 * MINUTE)])
        history = ViewHistory(view, self.batch(["x", "y", None, "x"]))
        assert history.as_of(history.codes([("a",)]), np.array([START_MS + 3])).values[0].tolist() == [2.0]
