"""The scaling benchmark's topics, and the pictures of what came out."""

import time

import numpy as np
import pytest

from benchmarks.scaling.report import ScalingRow, plot_curves, scaling_table
from benchmarks.shared.backlogs import TILES_CARDS, by_entities, by_processes, by_tiles
from benchmarks.shared.plans import SLIDE_MS

ROWS = [
    ScalingRow(curve, at, 1e5 / at, 200_000, 1_000, 1_000.0 * at, 300_000_000)
    for curve in ("processes", "entities", "tiles")
    for at in (1, 2, 1_000)
]


@pytest.mark.parametrize("make", [by_processes, by_entities, by_tiles])
def test_event_time_never_goes_back_and_lies_in_nobodys_future(make):
    events = make(3, 2_000).events
    assert len(events.cards) == len(events.event_ms)
    assert (np.diff(events.event_ms) >= 0).all()
    assert events.event_ms[-1] <= time.time() * 1_000


@pytest.mark.parametrize(("entities", "events"), [(10, 95), (1_000, 100)])
def test_every_entity_pays_and_none_more_than_once_more_than_another(entities, events):
    counts = np.bincount(by_entities(entities, events).events.cards, minlength=entities)
    assert counts.min() >= 1
    assert counts.max() - counts.min() <= 1


def test_when_the_state_is_built_up_every_card_has_paid_in_every_tile():
    backlog = by_tiles(24, events=5_000)
    cards, times = (column[: backlog.steady_from] for column in backlog.events)
    tiles = (times - times[0]) // SLIDE_MS
    assert len(set(zip(cards.tolist(), tiles.tolist(), strict=True))) == 24 * TILES_CARDS


def test_the_table_has_a_line_for_every_point():
    table = scaling_table(ROWS)
    assert len(table.rows) == len(ROWS)
    assert {len(cells) for cells in table.rows} == {len(table.header)}


def test_pictures_are_small_say_their_units_and_are_the_same_for_the_same_numbers(tmp_path):
    plot_curves(ROWS, tmp_path / "first")
    plot_curves(ROWS, tmp_path / "second")
    for curve in ("processes", "entities", "tiles"):
        picture = (tmp_path / "first" / f"scaling-{curve}.svg").read_bytes()
        assert picture == (tmp_path / "second" / f"scaling-{curve}.svg").read_bytes()
        assert len(picture) < 200_000
        assert all(unit in picture for unit in (b"events/s", b"bytes per entity", b"resident memory, MB"))
