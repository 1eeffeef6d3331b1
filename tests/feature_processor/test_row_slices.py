"""A batch of many entities is folded some rows at a time, and comes to the same."""

import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.feature_processor.rows import slices as row_slices
from forebay.pipelines.feature_processor.rows.slices import RowSlices
from forebay.pipelines.steps.tile_state.row_codec import StoredRow
from tests.feature_processor.partition import CARDS, card, row, start
from tests.support.build import record

ENTITIES = [f"c{at}" for at in range(50)]


class CountingStore(MemoryStore):
    """Remembers how many rows each read asked for."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def read(self, requests):
        self.asked.append(len(requests))
        return super().read(requests)


@pytest.fixture
def few_at_a_time(monkeypatch):
    monkeypatch.setattr(row_slices, "FIRST_ROWS", 7)
    monkeypatch.setattr(row_slices, "FEWEST_ROWS", 7)
    monkeypatch.setattr(row_slices, "HELD_BYTES", 1)


def records():
    return [record(at, card(ENTITIES[at % 50], at, amount=float(at))) for at in range(150)]


def test_no_read_asks_for_more_rows_than_fit(few_at_a_time):
    store = CountingStore()
    start(store, CARDS).process(records())
    store.asked.clear()
    start(store, CARDS).process([record(200 + at, card(each, 1_000 + at)) for at, each in enumerate(ENTITIES)])
    assert max(store.asked) <= 7
    assert sum(store.asked) >= 50


def test_rows_are_the_same_as_of_a_batch_at_once(few_at_a_time, monkeypatch):
    sliced, whole = MemoryStore(), MemoryStore()
    start(sliced, CARDS).process(records())
    monkeypatch.setattr(row_slices, "FIRST_ROWS", 1_000)
    start(whole, CARDS).process(records())
    assert [row(sliced, CARDS, each) for each in ENTITIES] == [row(whole, CARDS, each) for each in ENTITIES]


def test_runs_follow_the_sizes_of_rows(monkeypatch):
    monkeypatch.setattr(row_slices, "HELD_BYTES", 1_000_000)
    slices = RowSlices()
    assert list(slices(4_500)) == [range(2_000), range(2_000, 4_000), range(4_000, 4_500)]
    slices.learn([StoredRow(b"h" * 1_000, b"c" * 9_000)] * 5)
    assert list(slices(150)) == [range(100), range(100, 150)]
    slices.learn([StoredRow(b"h", None)])
    assert list(slices(150)) == [range(150)]


def test_it_is_called_once_when_the_last_rows_are_on_their_way(few_at_a_time):
    store, called = MemoryStore(), []
    pipeline = start(store, CARDS)
    pipeline.topic.process({0: records()}, lambda: called.append(len(store.hashes)))
    assert len(called) == 1
    assert called[0] >= 49
