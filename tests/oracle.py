"""What windows mean, said as plainly as possible: every event looked at, one after another, in pure Python.

Written from the definition alone, and sharing no code with the engine. Tile k of slide S is [kS, (k+1)S); as of
t a window of length W holds tiles floor(t/S) - W/S + 1 ... floor(t/S). Sums are taken tile by tile, each in order
of arrival, so that equality to the last bit can be asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Event(NamedTuple):
    """One event of some entity."""

    entity: str
    event_ms: int
    values: dict[str, float | None]


class Window(NamedTuple):
    """One aggregation."""

    function: str
    column: str
    window_ms: int
    slide_ms: int


def value_as_of(window: Window, events: Sequence[Event], as_of_ms: int) -> float:
    """The value of one entity's events, given in order of arrival; NaN is null."""
    tiles = _tiles_of_values(window, events, as_of_ms)
    arrived = [pair for pairs in tiles for pair in pairs]
    values = [value for _, value in arrived]
    if window.function == "count":
        return float(len(values))
    if window.function == "sum":
        return _sum_by_tile(tiles)
    if not values:
        return math.nan
    if window.function == "mean":
        return _sum_by_tile(tiles) / len(values)
    if window.function == "min":
        return min(values)
    if window.function == "max":
        return max(values)
    if window.function == "var":
        return _variance_by_tile(tiles)
    if window.function == "std":
        return math.sqrt(_variance_by_tile(tiles))
    if window.function == "first":
        return min(enumerate(arrived), key=lambda each: (each[1][0], each[0]))[1][1]
    if window.function == "last":
        return max(enumerate(arrived), key=lambda each: (each[1][0], each[0]))[1][1]
    assert window.function == "time_since_last"
    return max(0, as_of_ms - max(event_ms for event_ms, _ in arrived)) / 1_000


def exact_value_as_of(window: Window, events: Sequence[Event], as_of_ms: int) -> float:
    """Sum, mean and (two-pass) variance without rounding on the way: what the sums should be close to."""
    values = [value for pairs in _tiles_of_values(window, events, as_of_ms) for _, value in pairs]
    if window.function == "sum":
        return math.fsum(values)
    if window.function == "mean":
        return math.fsum(values) / len(values) if values else math.nan
    assert window.function in ("var", "std")
    if len(values) < 2:
        return math.nan
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return math.sqrt(variance) if window.function == "std" else variance


def _tiles_of_values(window: Window, events: Sequence[Event], as_of_ms: int) -> list[list[tuple[int, float]]]:
    """The (event time, value) pairs inside the window, tile by tile, each in order of arrival."""
    newest = as_of_ms // window.slide_ms
    oldest = newest - window.window_ms // window.slide_ms + 1
    tiles: dict[int, list[tuple[int, float]]] = {}
    for event in events:
        tile = event.event_ms // window.slide_ms
        value = 1.0 if window.column == "" else event.values[window.column]
        if oldest <= tile <= newest and value is not None and not math.isnan(value):
            tiles.setdefault(tile, []).append((event.event_ms, value))
    return [tiles[tile] for tile in sorted(tiles)]


def _sum_by_tile(tiles: Sequence[Sequence[tuple[int, float]]], power: int = 1) -> float:
    total = 0.0
    for pairs in tiles:
        in_tile = 0.0
        for _, value in pairs:
            in_tile += value if power == 1 else value * value
        total += in_tile
    return total


def _variance_by_tile(tiles: Sequence[Sequence[tuple[int, float]]]) -> float:
    """Of a sample: divided by n - 1, null for fewer than two values."""
    count = sum(len(pairs) for pairs in tiles)
    if count < 2:
        return math.nan
    total = _sum_by_tile(tiles)
    spread = _sum_by_tile(tiles, power=2) - total * (total / count)
    return max(spread, 0.0) / (count - 1)
