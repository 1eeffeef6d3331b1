"""What windows mean, said as plainly as possible: every event looked at, one after another, in pure Python.

Written from the definition alone, and sharing no code with the engine: every event is kept for ever. Tile k of slide S
is [kS, (k+1)S); as of t a window of length W begins with tile floor(t/S) - W/S + 1, and holds no event from later than
the next multiple of the resolution R. Sums and variances are taken tile by tile, those of tile
floor(t/S) in tiles of length R, each in order of arrival, so that equality to the last bit can be asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One event of some entity."""

    entity: str
    event_ms: int
    values: dict[str, float | str | None]


class Window(NamedTuple):
    """One aggregation."""

    function: str
    column: str
    window_ms: int
    slide_ms: int
    head_ms: int = 0
    """The resolution R; 0: the slide."""


def repeated(events: Sequence[tuple[object, int]], window_ms: int, most: int = 1_024) -> list[bool]:
    """Which of one entity's (id, event time) pairs, in order of arrival, repeat an event that was counted.

    The one that was counted is at most the window older than the newest so far, and one of the last so many with an id.
    """
    counted: list[tuple[object, int]] = []
    found = []
    for name, event_ms in events:
        newest_ms = max([event_ms, *(ms for _, ms in counted)])
        remembered = [each for each in counted if each[0] is not None][-most:]
        again = name is not None and any(each == name and ms >= newest_ms - window_ms for each, ms in remembered)
        if not again:
            counted.append((name, event_ms))
        found.append(again)
    return found


def value_as_of(window: Window, events: Sequence[Event], as_of_ms: int) -> Any:
    """The value of one entity's events, given in order of arrival; NaN is null, of texts None.

    Texts have no more than 256 bytes here.
    """
    tiles = _tiles_of_values(window, events, as_of_ms)
    arrived = [pair for pairs in tiles for pair in pairs]
    values = [value for _, value in arrived]
    if window.function == "count":
        return float(len(values))
    if window.function == "sum":
        return _sum_by_tile(_values(tiles))
    if window.function == "count_distinct":
        return float(len(set(values)))
    if window.function.startswith("decayed_sum_"):
        return _decayed_sum_by_tile(window, tiles, as_of_ms)
    if window.function.startswith("last_"):
        newest_first = sorted(enumerate(arrived), key=lambda each: (each[1][0], each[0]), reverse=True)
        return [value for _, (_, value) in newest_first[: int(window.function.removeprefix("last_"))]]
    if window.function.startswith("top_"):
        most_first = sorted(set(values), key=lambda value: (-values.count(value), value))
        return [value + 0.0 if isinstance(value, float) else value for value in most_first][
            : int(window.function.removeprefix("top_"))
        ]
    if not values:
        return math.nan
    if window.function == "mean":
        return _sum_by_tile(_values(tiles)) / len(values)
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
    if window.function.startswith("p"):
        needed = int(window.function[1:]) * len(values)
        return next(value for at, value in enumerate(sorted(values), 1) if 100 * at >= needed)
    assert window.function == "time_since_last"
    return max(0, as_of_ms - max(event_ms for event_ms, _ in arrived)) / 1_000


def exact_value_as_of(window: Window, events: Sequence[Event], as_of_ms: int) -> float:
    """Sums, mean and (two-pass) variance without rounding on the way: what the sums should be close to."""
    arrived = [pair for pairs in _tiles_of_values(window, events, as_of_ms) for pair in pairs]
    values = [value for _, value in arrived]
    if window.function.startswith("decayed_sum_"):
        return math.fsum(value * 2.0 ** ((event_ms - as_of_ms) / half_life(window)) for event_ms, value in arrived)
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


def _tiles_of_values(window: Window, events: Sequence[Event], as_of_ms: int) -> list[list[tuple[int, Any]]]:
    """The (event time, value) pairs inside the window, tile by tile, each in order of arrival."""
    head_ms = window.head_ms or window.slide_ms
    head_start_ms = as_of_ms // window.slide_ms * window.slide_ms
    start_ms = head_start_ms - window.window_ms + window.slide_ms
    end_ms = (as_of_ms // head_ms + 1) * head_ms
    tiles: dict[int, list[tuple[int, Any]]] = {}
    for event in events:
        length_ms = window.slide_ms if event.event_ms < head_start_ms else head_ms
        value = 1.0 if window.column == "" else event.values[window.column]
        if start_ms <= event.event_ms < end_ms and value is not None and value == value:
            tiles.setdefault(event.event_ms // length_ms * length_ms, []).append((event.event_ms, value))
    return [tiles[tile] for tile in sorted(tiles)]


def _sum_by_tile(tiles: Sequence[Sequence[float]], weights: Sequence[float] | None = None) -> float:
    """The values of every tile added up in their order, and what rounding lost of it; the tiles then without rounding,
    but for the lowest bits.
    """
    totals, errors = [], []
    for values, weight in zip(tiles, weights or [1.0] * len(tiles), strict=True):
        total = error = 0.0
        for value in values:
            after = total + value
            gained = after - total
            error += (total - (after - gained)) + (value - gained)
            total = after
        totals.append(total * weight)
        errors.append(error * weight)
    largest = max(map(abs, totals), default=0.0)
    unit = math.ldexp(1.0, math.frexp(largest)[1] + 14)
    leading = [(unit + total) - unit for total in totals]
    rest = 0.0
    for total, part, error in zip(totals, leading, errors, strict=True):
        rest += (total - part) + error
    return math.fsum(leading) + rest


def _values(tiles: Sequence[Sequence[tuple[int, float]]]) -> list[list[float]]:
    return [[value for _, value in pairs] for pairs in tiles]


def _variance_by_tile(tiles: Sequence[Sequence[tuple[int, float]]]) -> float:
    """Of a sample: divided by n - 1, null for fewer than two values. Every tile about the first value that came to it,
    all of them about that of the first tile.
    """
    count = sum(len(pairs) for pairs in tiles)
    if count < 2:
        return math.nan
    about = tiles[0][0][1]
    counts, means, spreads = [], [], []
    for pairs in tiles:
        centre = pairs[0][1]
        shifted = squares = 0.0
        for _, value in pairs:
            shifted += value - centre
            squares += (value - centre) * (value - centre)
        counts.append(len(pairs))
        means.append((centre - about) + shifted / len(pairs))
        spreads.append(max(squares - shifted * (shifted / len(pairs)), 0.0))
    total = spread = 0.0
    for number, mean in zip(counts, means, strict=True):
        total += number * mean
    for number, mean, of_tile in zip(counts, means, spreads, strict=True):
        away = mean - total / count
        spread += of_tile + number * away * away
    return spread / (count - 1)


def _decayed_sum_by_tile(window: Window, tiles: Sequence[Sequence[tuple[int, float]]], as_of_ms: int) -> float:
    """Each tile's values grown to its start, their sum decayed from there."""
    half_life_ms = half_life(window)
    grown, weights = [], []
    for pairs in tiles:
        event_ms = pairs[0][0]
        length_ms = window.slide_ms
        if event_ms >= as_of_ms // window.slide_ms * window.slide_ms:
            length_ms = window.head_ms or window.slide_ms
        start = event_ms // length_ms * length_ms
        grown.append([value * _power_of_half((start - event_ms) / half_life_ms) for event_ms, value in pairs])
        weights.append(_power_of_half((as_of_ms - start) / half_life_ms))
    return _sum_by_tile(grown, weights)


def half_life(window: Window) -> int:
    """In ms; of a decayed sum spelled in seconds."""
    return int(window.function.removeprefix("decayed_sum_").removesuffix("s")) * 1_000


def _power_of_half(periods: float) -> float:
    """By the series of e^x, from its smallest term: the same steps everywhere, so that bits can be compared."""
    whole = math.floor(periods)
    exponent = (periods - whole) * math.log(2)
    result = 1.0
    for term in range(18, 0, -1):
        result = 1.0 - exponent / term * result
    return math.ldexp(result, -whole)
