"""Frequencies of the values of a tile, by the frequent-items sketch of the Apache DataSketches library.

A payload is laid out as in `steps.tile_state.sketches`; where the values are texts, how many wait beside the sketch
(one byte) and then those (see `forebay.pipelines.steps.tile_state.texts`).

The sketch counts exactly while there are no more than CAPACITY different values. To take in another it subtracts the
median of all counts and forgets values that have none left, so that what it counts of a value is too low, by a share
of all its values that is at most ERROR. The tiles of a window are added up here, and not by merging sketches: their
sum never needs to forget, and an order that does not depend on the sketch's hashing makes results the same anywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from datasketches import (
    PyDoublesSerDe,
    PyLongsSerDe,
    frequent_items_error_type,
    frequent_items_sketch,
    frequent_strings_sketch,
)

from forebay.pipelines.steps.arrays import Floats, Ints
from forebay.pipelines.steps.tile_state.sketches import BLOCK, joined, split
from forebay.pipelines.steps.tile_state.texts import join_texts, split_texts
from forebay.pipelines.steps.windows.layout import Accumulator

_LG_MAP = 9

CAPACITY = 3 * 2**_LG_MAP // 4
"""Different values that one sketch counts exactly."""

ERROR = 3.5 / 2**_LG_MAP
"""By what share of all values, at most, a frequency is too low."""

_ALL = frequent_items_error_type.NO_FALSE_NEGATIVES
"""Without a threshold of its own: every value the sketch still holds."""
_COUNT_BYTES = 1


def absorb_numbers(sketch: bytes, values: Floats | Ints) -> bytes:
    """Adds values to a sketch of frequencies; all of its values are floats, or all are whole numbers."""
    whole = values.dtype.kind == "i"
    counts = _number_counts(sketch, whole) if sketch else frequent_items_sketch(_LG_MAP)
    for value, times in Counter(_plain(values)).items():
        counts.update(value, times)
    return bytes(counts.serialize(_serde(whole)))


def _absorb_texts(sketch: bytes, texts: Iterable[bytes]) -> bytes:
    counts = frequent_strings_sketch.deserialize(sketch) if sketch else frequent_strings_sketch(_LG_MAP)
    for text, times in Counter(texts).items():
        counts.update(text.decode(), times)
    return bytes(counts.serialize())


def _number_counts(sketch: bytes, whole: bool) -> frequent_items_sketch:
    return frequent_items_sketch.deserialize(sketch, _serde(whole))


def _serde(whole: bool) -> PyDoublesSerDe | PyLongsSerDe:
    return PyLongsSerDe() if whole else PyDoublesSerDe()


def _plain(values: Floats | Ints) -> list[Any]:
    # Minus zero equals zero, their bits do not.
    return (values + 0).tolist()  # type: ignore[no-any-return]


def add_texts(payload: bytes, texts: Sequence[bytes]) -> bytes:
    """Adds texts, in their order, to a payload; empty where there is none yet."""
    sketch, latest = split(payload)
    count = (latest[0] if latest else 0) + len(texts)
    run = latest[_COUNT_BYTES:] + join_texts(texts)
    if count >= BLOCK:
        waiting = split_texts(run)
        whole = count // BLOCK * BLOCK
        for start in range(0, whole, BLOCK):
            sketch = _absorb_texts(sketch, waiting[start : start + BLOCK])
        count, run = count - whole, join_texts(waiting[whole:])
    return joined(sketch, bytes([count]) + run)


def ranked(payloads: Sequence[bytes], kept: Accumulator) -> list[Any]:
    """Ranks the values of some tiles, the most frequent first; of equally frequent ones, the smaller first.

    Args:
        kept: the accumulator that the payloads are of.
    """
    counts: Counter[Any] = Counter()
    for payload in payloads:
        sketch, latest = split(payload)
        if kept.text:
            counts.update(each.decode() for each in split_texts(latest[_COUNT_BYTES:]))
        else:
            counts.update(_plain(np.frombuffer(latest, "<i8" if kept.whole else "<f8")))
        if sketch:
            held = frequent_strings_sketch.deserialize(sketch) if kept.text else _number_counts(sketch, kept.whole)
            for value, _, at_least, _ in held.get_frequent_items(_ALL):
                counts[value] += at_least
    return sorted(counts, key=lambda value: (-counts[value], value))
