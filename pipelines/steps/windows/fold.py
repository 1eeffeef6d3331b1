"""Tiles: what a view keeps of its events, and how events are folded into it.

Tile k of slide S holds the events with event time in [kS, (k+1)S). A tile keeps intermediate
results only (sums, extremes, first and last), so late events repair it and merging tiles is exact.

Every fold is sequential in arrival order for each tile (one event is added after another), so a state is a function of
its records alone: how they were cut into batches can't change a bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from forebay.pipelines.steps.arrays import Chosen, Floats, Ints, Payloads, Texts, WholeNumbers
from forebay.pipelines.steps.tile_state.blobs import add_to_payloads
from forebay.pipelines.steps.windows.decay import decayed
from forebay.pipelines.steps.windows.layout import Accumulator, Kind, TileGroup
from forebay.pipelines.steps.windows.moments import add_to_centre, differences
from forebay.pipelines.steps.windows.sums import add_compensated, add_halves


class Tiles(NamedTuple):
    """Tiles of one group for many entities, sorted by (entity, tile)."""

    entity: Ints
    """Shape (r,): index of the entity within the batch."""
    tile: Ints
    """Shape (r,)."""
    values: Floats
    """Shape (r, accumulators)."""
    sketches: Payloads
    """Shape (r, sketches), see `forebay.pipelines.steps.tile_state.blobs`."""

    def take(self, chosen: Chosen) -> Tiles:
        """Takes some of the tiles, by mask or by index."""
        return Tiles(self.entity[chosen], self.tile[chosen], self.values[chosen], self.sketches[chosen])


class Events(NamedTuple):
    """Events of one view, as columns, in arrival order."""

    entity: Ints
    """Shape (n,): index of the entity within the batch."""
    event_ms: Ints
    """Shape (n,): event time, ms since the epoch."""
    columns: Mapping[str, Floats]
    """Each of shape (n,); NaN where the event has no value."""
    texts: Mapping[str, Texts] = MappingProxyType({})
    """Each of shape (n,); None where the event has no value."""
    whole: Mapping[str, WholeNumbers] = MappingProxyType({})
    """Columns that are aggregated exactly; each of shape (n,)."""
    identities: Mapping[str, WholeNumbers] = MappingProxyType({})
    """Columns whose distinct values are counted: equal values have equal numbers; each of shape (n,)."""
    ids: WholeNumbers | None = None
    """Where the source names its events: needed to find duplicates, not to fold."""

    @classmethod
    def joined(cls, parts: Sequence[Events]) -> Events:
        """Joins the events of some batches of the same view."""
        first = parts[0]
        if len(parts) == 1:
            return first
        ids = None if first.ids is None else WholeNumbers.joined([part.ids for part in parts if part.ids is not None])
        return cls(
            np.concatenate([part.entity for part in parts]),
            np.concatenate([part.event_ms for part in parts]),
            {name: np.concatenate([part.columns[name] for part in parts]) for name in first.columns},
            {name: np.concatenate([part.texts[name] for part in parts]) for name in first.texts},
            {name: WholeNumbers.joined([part.whole[name] for part in parts]) for name in first.whole},
            {name: WholeNumbers.joined([part.identities[name] for part in parts]) for name in first.identities},
            ids,
        )

    def take(self, chosen: Chosen) -> Events:
        """Takes some of the events, by mask or by index."""
        columns = {name: column[chosen] for name, column in self.columns.items()}
        texts = {name: column[chosen] for name, column in self.texts.items()}
        whole = {name: column.take(chosen) for name, column in self.whole.items()}
        identities = {name: column.take(chosen) for name, column in self.identities.items()}
        ids = None if self.ids is None else self.ids.take(chosen)
        return Events(self.entity[chosen], self.event_ms[chosen], columns, texts, whole, identities, ids)


def no_payloads(group: TileGroup, rows: int) -> Payloads:
    """Makes the payloads of tiles without an event, shape (rows, sketches)."""
    return np.full((rows, len(group.sketches)), b"", dtype=object)


def fold(group: TileGroup, tiles: Tiles, events: Events) -> Tiles:
    """Folds events into tiles; old tiles are dropped later (see `retain`)."""
    event_tile = events.event_ms // group.slide_ms
    lowest = min(event_tile.min(initial=0), tiles.tile.min(initial=0))
    span = max(event_tile.max(initial=0), tiles.tile.max(initial=0)) - lowest + 1
    old_keys = tiles.entity * span + (tiles.tile - lowest)
    event_keys = events.entity * span + (event_tile - lowest)
    keys = np.union1d(old_keys, event_keys)
    values = group.initial(len(keys))
    values[np.searchsorted(keys, old_keys)] = tiles.values
    payloads = no_payloads(group, len(keys))
    payloads[np.searchsorted(keys, old_keys)] = tiles.sketches
    accumulate(group, values, payloads, np.searchsorted(keys, event_keys), events)
    return Tiles(keys // span, keys % span + lowest, values, payloads)


NO_TILE = int(np.iinfo(np.int64).min)
"""Before every tile: nothing has been dropped."""


def retain(group: TileGroup, tiles: Tiles, oldest_ms: Ints, whole_from: Ints) -> tuple[Tiles, Ints]:
    """Drops the tiles that no window needs as of some time or later.

    Args:
        oldest_ms: shape (entities,), the earliest time as of which every window must be whole.
        whole_from: shape (entities,), the first tile such that none from it on had been dropped before.

    Returns:
        The tiles that are left, and `whole_from` afterwards.
    """
    kept = tiles.tile >= group.oldest_needed(oldest_ms)[tiles.entity]
    if kept.all():
        return tiles, whole_from
    whole_from = whole_from.copy()
    np.maximum.at(whole_from, tiles.entity[~kept], tiles.tile[~kept] + 1)
    return tiles.take(kept), whole_from


def accumulate(
    group: TileGroup, values: Floats, payloads: Payloads, rows: npt.NDArray[np.intp], events: Events
) -> None:
    """Adds event i to `values[rows[i]]` and `payloads[rows[i]]`, in place and one after another.

    Args:
        values: shape (r, accumulators).
        payloads: shape (r, sketches).
        rows: shape (n,), the tile row of each event.
    """
    present: dict[str, npt.NDArray[np.bool_]] = {"": np.ones(len(rows), dtype=bool)}
    present |= {column: ~np.isnan(values_of) for column, values_of in events.columns.items()}
    present |= {column: numbers.known for column, numbers in events.whole.items()}
    # Counts and times come last: the others compare with what they were before these events.
    for last in (False, True):
        for accumulator in group.accumulators:
            if accumulator.kind not in _WITH_ANOTHER and (accumulator.kind in _AFTER_THE_OTHERS) is last:
                has_value = present[accumulator.column]
                _add(group, accumulator, values, rows[has_value], has_value, events)
    for at, (sketch, kept) in enumerate(zip(group.sketches, group.kept, strict=True)):
        values_of, has_value = _sketched_values(sketch, present, events)
        where, added = rows[has_value], values_of[has_value]
        add_to_payloads(sketch, kept, payloads[:, at], where, added, events.event_ms[has_value])


_AFTER_THE_OTHERS = frozenset({Kind.COUNT, Kind.FIRST_MS, Kind.LAST_MS})
_WITH_ANOTHER = frozenset({Kind.SUM_ERROR, Kind.SUM_LOW, Kind.DECAYED_ERROR, Kind.SHIFTED_SUM, Kind.SHIFTED_SQUARES})
"""Added to together with the accumulator that they belong to."""


def _add(
    group: TileGroup,
    accumulator: Accumulator,
    values: Floats,
    rows: npt.NDArray[np.intp],
    has_value: npt.NDArray[np.bool_],
    events: Events,
) -> None:
    """Adds the events that have a value to one accumulator; `rows` are theirs."""
    column, kind, half_life_ms, *_ = accumulator
    words = group.of(values, accumulator)
    beside = accumulator._replace
    if kind is Kind.COUNT:
        np.add.at(words, rows, 1.0)
        return
    event_ms = events.event_ms[has_value]
    if kind is Kind.FIRST_MS:
        np.minimum.at(words, rows, event_ms)
        return
    if kind is Kind.LAST_MS:
        np.maximum.at(words, rows, event_ms)
        return
    added: Any = (events.whole[column].values if accumulator.whole else events.columns[column])[has_value]
    match kind:
        case Kind.SUM:
            add_compensated(words, group.of(values, beside(kind=Kind.SUM_ERROR)), rows, added)
        case Kind.SUM_HIGH:
            add_halves(words, group.of(values, beside(kind=Kind.SUM_LOW)), rows, added)
        case Kind.DECAYED_SUM:
            grown = added * decayed(event_ms % group.slide_ms / -half_life_ms)
            add_compensated(words, group.of(values, beside(kind=Kind.DECAYED_ERROR)), rows, grown)
        case Kind.CENTRE:
            add_to_centre(group.of(values, Accumulator(column, Kind.COUNT)), words, rows, added)
            away = differences(added, words[rows])
            np.add.at(group.of(values, Accumulator(column, Kind.SHIFTED_SUM)), rows, away)
            with np.errstate(over="ignore"):
                np.add.at(group.of(values, Accumulator(column, Kind.SHIFTED_SQUARES)), rows, away * away)
        case Kind.MIN:
            np.minimum.at(words, rows, added)
        case Kind.MAX:
            np.maximum.at(words, rows, added)
        case Kind.FIRST:
            _keep_first(words, group.of(values, Accumulator(column, Kind.FIRST_MS)), rows, added, event_ms)
        case Kind.LAST:
            _keep_last(words, group.of(values, Accumulator(column, Kind.LAST_MS)), rows, added, event_ms)


def _sketched_values(
    sketch: Accumulator, present: Mapping[str, npt.NDArray[np.bool_]], events: Events
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Selects what goes into a sketch, shape (n,), and which of the events have it."""
    if sketch.kind is Kind.DISTINCT:
        identities = events.identities[sketch.column]
        return identities.values, identities.known
    if sketch.text:
        texts = events.texts[sketch.column]
        return texts, _has_text(texts)
    numbers = events.whole[sketch.column].values if sketch.whole else events.columns[sketch.column]
    return numbers, present[sketch.column]


def _has_text(texts: Texts) -> npt.NDArray[np.bool_]:
    return np.array([text is not None for text in texts], dtype=bool)


def _keep_first(
    words: npt.NDArray[Any], first_ms: Floats, rows: npt.NDArray[np.intp], added: npt.NDArray[Any], event_ms: Ints
) -> None:
    """Keeps the value with the earliest event time; of equal times, the one that arrived first."""
    order = np.lexsort((event_ms, rows))
    leading = np.ones(len(order), dtype=bool)
    leading[1:] = rows[order][1:] != rows[order][:-1]
    chosen = order[leading]
    wins = event_ms[chosen] < first_ms[rows[chosen]]
    words[rows[chosen][wins]] = added[chosen][wins]


def _keep_last(
    words: npt.NDArray[Any], last_ms: Floats, rows: npt.NDArray[np.intp], added: npt.NDArray[Any], event_ms: Ints
) -> None:
    """Keeps the value with the latest event time; of equal times, the one that arrived last."""
    order = np.lexsort((event_ms, rows))
    trailing = np.ones(len(order), dtype=bool)
    trailing[:-1] = rows[order][1:] != rows[order][:-1]
    chosen = order[trailing]
    wins = event_ms[chosen] >= last_ms[rows[chosen]]
    words[rows[chosen][wins]] = added[chosen][wins]
