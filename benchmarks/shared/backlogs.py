"""Topics that are full of events before anybody reads them, for cost curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.shared.events import SPAN_MS, Events, card_ids, last_full_hour_ms
from benchmarks.shared.plans import EIGHT, EIGHT_BY_THREE, SLIDE_MS, sliding
from forebay.pipelines.contract.plan.views import Aggregation

TILES_CARDS = 1_000
"""Of the curve over tiles."""
_SEED = 13


class Backlog(NamedTuple):
    """One point of a curve."""

    curve: str
    at: int
    """What the curve runs over: processes, entities or tiles."""
    aggregations: Sequence[Aggregation]
    events: Events
    steady_from: int = 0
    """So many events only build up the state; the rate is that of the others."""
    processes: int = 1
    max_batch_records: int = 100_000


def by_processes(processes: int, events: int) -> Backlog:
    """Zipf over 100,000 cards, 24 features."""
    return Backlog(
        "processes",
        processes,
        EIGHT_BY_THREE,
        Events(card_ids("zipf", events), spread(events, SPAN_MS)),
        processes=processes,
    )


def by_entities(entities: int, events: int) -> Backlog:
    """All cards pay equally often, in an order of their own: 8 features over a tumbling hour."""
    order = np.random.default_rng(_SEED).permutation(entities)
    cards = np.tile(order, -(-events // entities))[: max(events, entities)]
    return Backlog("entities", entities, EIGHT, Events(cards, spread(len(cards), SPAN_MS)))


def by_tiles(tiles: int, events: int) -> Backlog:
    """8 features over one window of so many tiles: every card pays in each, and then all pay on."""
    cards = np.arange(TILES_CARDS)
    filling = np.tile(cards, tiles)
    steady = np.random.default_rng(_SEED).integers(0, TILES_CARDS, events)
    filling_ms = spread(len(filling), tiles * SLIDE_MS)
    # A tile for every ten events of a card.
    steady_ms = filling_ms[-1] + 1 + np.arange(events) * SLIDE_MS // (10 * TILES_CARDS)
    times = np.concatenate([filling_ms, steady_ms])
    return Backlog(
        "tiles",
        tiles,
        sliding(tiles, windows=1),
        Events(np.concatenate([filling, steady]), times - times[-1] + last_full_hour_ms()),
        steady_from=len(filling),
        # A row comes some times in a batch, as in a stream that is not behind.
        max_batch_records=4 * TILES_CARDS,
    )


def spread(count: int, span_ms: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """So many times, evenly over a span that ends with the last full hour."""
    return np.linspace(-span_ms, -1, count).astype(np.int64) + last_full_hour_ms()
