"""Frequent values: exact while a tile has few different ones, within the stated error beyond, the same on any cut."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipelines.steps.arrays import objects
from forebay.pipelines.steps.tile_state.frequent import CAPACITY, ERROR, absorb_numbers, add_texts, ranked
from forebay.pipelines.steps.tile_state.oldest_newest import add_timed_numbers, add_timed_texts
from forebay.pipelines.steps.tile_state.sketches import BLOCK, add
from forebay.pipelines.steps.tile_state.texts import MAX_TEXT_BYTES, bounded_text, join_texts, split_texts
from forebay.pipelines.steps.windows.layout import Accumulator, Kind

SEEDS = range(10)
K = 20

SHAPES = {
    "zipf": lambda rng, n: rng.zipf(1.3, n) % 100_000,
    "uniform": lambda rng, n: rng.integers(0, 2_000, n),
    "few heavy ones that come last": lambda rng, n: np.concatenate(
        (rng.integers(10, 5_000, n - n // 10), rng.integers(0, 10, n // 10))
    ),
    "ever new ones": lambda rng, n: np.arange(n),
}


def kept(text):
    return Accumulator("merchant" if text else "amount", Kind.FREQUENT, text=text)


def as_texts(values):
    return [f"é {value}".encode() for value in values.tolist()]


def payloads_of(values, tiles, text):
    parts = np.array_split(values, tiles)
    if text:
        return [add_texts(b"", as_texts(each)) for each in parts]
    return [add(absorb_numbers, b"", each.astype(np.float64)) for each in parts]


def exactly_ranked(values):
    counts = Counter(values)
    return sorted(counts, key=lambda value: (-counts[value], value))


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("tiles", [1, 5])
def test_up_to_its_capacity_of_different_values_a_tile_is_exact(text, tiles):
    """However many values there are; of equally frequent ones the smaller comes first."""
    values = np.random.default_rng(1).integers(0, CAPACITY, 20_000)
    truth = [f"é {value}" for value in values.tolist()] if text else values.tolist()
    assert ranked(payloads_of(values, tiles, text), kept(text)) == exactly_ranked(truth)


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("tiles", [1, 12])
@pytest.mark.parametrize("shape", SHAPES)
def test_beyond_it_no_value_left_out_is_more_frequent_by_more_than_the_stated_error(shape, tiles, text):
    for seed in SEEDS:
        values = SHAPES[shape](np.random.default_rng(seed), 10_000)
        counts = Counter(f"é {value}" for value in values.tolist()) if text else Counter(values.tolist())
        listed = ranked(payloads_of(values, tiles, text), kept(text))[:K]
        assert len(set(listed)) == K
        left_out = max(count for value, count in counts.items() if value not in listed)
        assert left_out - min(counts[value] for value in listed) <= ERROR * len(values)


def test_values_beyond_the_capacity_were_estimated_at_all():
    """The test above means something: nothing as rare as what was forgotten is in the sketch."""
    assert len(ranked(payloads_of(np.arange(10_000), 1, text=False), kept(text=False))) < CAPACITY + BLOCK


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 9 * BLOCK), max_size=8), text=st.booleans())
def test_the_cut_into_batches_changes_no_byte(cuts, text):
    values = np.random.default_rng(2).integers(0, 2 * CAPACITY, 9 * BLOCK)
    payload = b""
    for part in np.split(values, sorted(cuts)):
        payload = add_texts(payload, as_texts(part)) if text else add(absorb_numbers, payload, part.astype(np.float64))
    assert [payload] == payloads_of(values, 1, text)


def test_minus_zero_is_zero():
    payloads = [add(absorb_numbers, b"", np.array([0.0, 1.0, 1.0, -0.0, -0.0]))]
    assert [str(value) for value in ranked(payloads, kept(text=False))] == ["0.0", "1.0"]
    many = [add(absorb_numbers, b"", np.where(np.arange(2 * BLOCK) % 2, 0.0, -0.0))]
    assert [str(value) for value in ranked(many, kept(text=False))] == ["0.0"]


def test_texts_of_every_kind_are_told_apart_inside_a_sketch():
    """Empty, with a zero byte, beyond ASCII, beyond the basic plane."""
    texts = ["", "a", "a\0", "a\0b", "ß", "\U0001f6eb"]
    run = [text.encode() for at, text in enumerate(texts) for _ in range(BLOCK - at)]
    assert ranked([add_texts(b"", run)], kept(text=True)) == texts


class TestTexts:
    def test_null_is_none_whatever_it_is_called(self):
        assert [bounded_text(each) for each in (None, float("nan"), pd.NA, pd.NaT)] == [None] * 4

    @pytest.mark.parametrize("value", [1, 1.5, True, b"x", ["x"]])
    def test_what_is_no_text_is_refused(self, value):
        with pytest.raises(TypeError, match="a text expected"):
            bounded_text(value)

    @given(st.text(alphabet=st.characters(), max_size=400))
    def test_a_text_is_kept_up_to_its_bound_and_cut_between_characters(self, text):
        kept = bounded_text(text).decode()
        whole = text.encode("utf-8", "replace").decode()
        assert whole.startswith(kept)
        rest = whole[len(kept) :]
        assert not rest or len((kept + rest[0]).encode()) > MAX_TEXT_BYTES
        assert len(kept.encode()) <= MAX_TEXT_BYTES

    def test_half_a_surrogate_pair_is_a_question_mark(self):
        assert bounded_text("a\ud83dz") == b"a?z"

    @given(st.lists(st.binary(max_size=MAX_TEXT_BYTES)))
    def test_a_run_of_texts_comes_apart_again(self, texts):
        assert split_texts(join_texts(texts)) == texts


class TestSizes:
    """What docs/functions.md says a tile takes at most."""

    LONGEST = tuple(f"{at:0256}".encode() for at in range(2_000))

    def test_of_last_n(self):
        times, numbers = np.arange(500), np.arange(500.0)
        texts = objects(self.LONGEST[:500])
        assert len(add_timed_numbers(b"", numbers, times, slice(-100, None))) == 100 * 16
        assert len(add_timed_texts(b"", texts, times, slice(-100, None))) == 1 + 100 * (8 + 2 + 256)

    def test_of_top_k(self):
        sizes = range(0, 2_000, 37)
        assert max(len(add(absorb_numbers, b"", np.arange(float(size)))) for size in sizes) <= 7_300
        assert max(len(add_texts(b"", self.LONGEST[:size])) for size in sizes) <= 137_000
