"""The layout benchmark's rows: full of tiles, and the same state whichever way they are laid out."""

import pytest

from benchmarks.layout.row_layouts import LAYOUTS
from benchmarks.layout.row_updates import RowSet, writes_of
from benchmarks.shared.store_cost import signed
from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.adapters.online_store import Outcome
from forebay.pipelines.contract.store.entity_key import closed_field, head_field
from tests.support.rows import written

ENTITIES, TILES = 3, 5
TILE_BYTES = 8 * (1 + 12)  # its number and twelve accumulators


def after(layout, updates):
    """The store after some updates, and the writes of the last one."""
    store = MemoryStore()
    rows = RowSet(ENTITIES, TILES, windows=1)
    for update in updates:
        writes = writes_of(layout, rows, getattr(rows, update)())
        assert written(store, writes, rows.shared_fields) == [Outcome.WRITTEN] * ENTITIES
    return store, rows, writes


def state(store, rows, layout):
    return [b"".join(fields) for fields in store.read([(key, layout.read) for key in rows.keys])]


@pytest.mark.parametrize("layout", LAYOUTS[1:], ids=lambda layout: layout.name)
@pytest.mark.parametrize("updates", [["fill"], ["fill", "stay"], ["fill", "close", "stay"]])
def test_every_layout_holds_the_same_state(layout, updates):
    ours, rows, _ = after(LAYOUTS[0], updates)
    other, _, _ = after(layout, updates)
    assert state(other, rows, layout) == state(ours, rows, LAYOUTS[0])


@pytest.mark.parametrize("updates", [["fill"], ["fill", "close", "close"]])
def test_a_row_holds_a_tile_more_than_its_window(updates):
    store, rows, _ = after(LAYOUTS[0], updates)
    ((head, closed), *_) = store.read([(key, LAYOUTS[0].read) for key in rows.keys])
    assert len(head) == 37 + TILE_BYTES
    assert len(closed) == 16 + TILES * TILE_BYTES


@pytest.mark.parametrize(("update", "closes"), [("stay", False), ("close", True)])
def test_apart_closed_tiles_are_written_only_when_one_closes(update, closes):
    _, rows, writes = after(LAYOUTS[0], ["fill", update])
    expected = [head_field(rows.view), closed_field(rows.view)] if closes else [head_field(rows.view)]
    assert [write.fields[::2] for write in writes] == [expected] * ENTITIES


def test_figures_can_be_kept_by_layout():
    assert len(dict.fromkeys(LAYOUTS)) == 3


@pytest.mark.parametrize(("printed", "size"), [(0, 0), (5_000, 5_000), (2**64 - 300, -300)])
def test_a_size_below_zero_is_read_as_one(printed, size):
    assert signed(printed) == size
