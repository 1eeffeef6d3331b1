"""The oldest, or newest, values of a tile, each with its time: exact, and never more than are asked for.

    numbers    event time (int64), value (float64, or int64 of whole numbers), each; ascending by time
    texts      how many (one byte), their event times (int64), the texts (`steps.tile_state.texts`); ascending by time

Of equal times the value that arrived first comes first. All integers are little endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from forebay.pipelines.steps.arrays import Floats, Ints, Texts
from forebay.pipelines.steps.tile_state.texts import join_texts, split_texts
from forebay.pipelines.steps.windows.layout import Accumulator

_TIMED = {whole: np.dtype([("ms", "<i8"), ("value", "<i8" if whole else "<f8")]) for whole in (False, True)}
"""By whether values are whole numbers."""
_COUNT_BYTES = 1
_MS_BYTES = 8


def add_timed_numbers(payload: bytes, values: Floats | Ints, event_ms: Ints, kept: slice) -> bytes:
    """Adds values, in order of arrival, to a payload.

    Args:
        payload: empty where there is none yet.
        values: shape (n,), of the same type every time.
        event_ms: shape (n,).
        kept: which of the values to keep, in ascending order of time.
    """
    timed = _TIMED[values.dtype.kind == "i"]
    added = np.empty(len(values), dtype=timed)
    added["ms"] = event_ms
    added["value"] = values
    known = np.concatenate((np.frombuffer(payload, timed), added))
    return known[np.argsort(known["ms"], kind="stable")[kept]].tobytes()


def add_timed_texts(payload: bytes, texts: Texts, event_ms: Ints, kept: slice) -> bytes:
    """Adds texts as `add_timed_numbers` adds numbers."""
    known = [*_timed_texts(payload), *zip(event_ms.tolist(), texts.tolist(), strict=True)]
    known = sorted(known, key=lambda each: each[0])[kept]
    times = np.array([at_ms for at_ms, _ in known], dtype="<i8").tobytes()
    return bytes([len(known)]) + times + join_texts([text for _, text in known])


def _timed_texts(payload: bytes) -> list[tuple[int, bytes]]:
    count = payload[0] if payload else 0
    start = _COUNT_BYTES + count * _MS_BYTES
    times = np.frombuffer(payload, "<i8", count, _COUNT_BYTES).tolist() if count else []
    return list(zip(times, split_texts(payload[start:]), strict=True))


def _values(payload: bytes, kept: Accumulator) -> list[Any]:
    if kept.text:
        return [value.decode() for _, value in _timed_texts(payload)]
    numbers: list[Any] = np.frombuffer(payload, _TIMED[kept.whole])["value"].tolist()
    return numbers


def oldest(payloads: Sequence[bytes], kept: Accumulator) -> Any:
    """Finds the first value of some tiles in ascending order; None if there is none.

    Args:
        kept: the accumulator that the payloads are of.
    """
    return next((_values(payload, kept)[0] for payload in payloads if payload), None)


def newest(payloads: Sequence[bytes], kept: Accumulator, count: int) -> list[Any]:
    """Finds up to so many of the last values of some tiles in ascending order, newest first."""
    found: list[Any] = []
    for payload in reversed(payloads):
        found += reversed(_values(payload, kept))
        if len(found) >= count:
            break
    return found[:count]
