"""Sketches: what a tile keeps where no few numbers tell the answer. From the Apache DataSketches library.

    payload    size of the sketch (4 bytes, little endian) | the sketch | the latest values (8 bytes each)

All are little endian. A sketch changes when it is saved, so one that was saved after every batch would depend on the
batches. Here values are appended as they are, and go into the sketch BLOCK at a time: a payload is a function of its
values in their order. It is exact as long as there are fewer, which is what most tiles of most entities are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from datasketches import hll_sketch, hll_union, tdigest_double, tgt_hll_type

from forebay.pipelines.steps.arrays import Floats, Ints

BLOCK = 128
"""Values that go into a sketch at once; up to one less wait beside it."""

LG_K = 12
"""HyperLogLog with 2^12 registers: relative standard error 1.6 %, about 2 KB."""

DIGEST_K = 200
"""Compression of the t-digest: at most some 4.5 KB."""

_SIZE = struct.Struct("<I")
_VALUE = 8


def add(absorb: Callable[[bytes, Any], bytes], payload: bytes, values: Floats | Ints) -> bytes:
    """Adds values, in their order and always of one type, to a payload.

    Args:
        absorb: what puts a block of values into the sketch, such as `absorb_distinct`.
        payload: empty where there is none yet.
    """
    sketch, latest = split(payload)
    stored = values.dtype.newbyteorder("<")
    latest += values.astype(stored).tobytes()
    whole = len(latest) // (BLOCK * _VALUE) * BLOCK * _VALUE
    for start in range(0, whole, BLOCK * _VALUE):
        sketch = absorb(sketch, np.frombuffer(latest, stored, BLOCK, start))
    return joined(sketch, latest[whole:])


def joined(sketch: bytes, latest: bytes) -> bytes:
    """Joins a sketch and values to a payload."""
    return _SIZE.pack(len(sketch)) + sketch + latest


def split(payload: bytes) -> tuple[bytes, bytes]:
    """Splits a payload into its sketch (empty if there is none yet) and the values beside it."""
    if not payload:
        return b"", b""
    start = _SIZE.size + _SIZE.unpack_from(payload)[0]
    return payload[_SIZE.size : start], payload[start:]


def absorb_distinct(sketch: bytes, values: Ints) -> bytes:
    """Adds identities to a HyperLogLog sketch."""
    registers = hll_sketch.deserialize(sketch) if sketch else hll_sketch(LG_K, tgt_hll_type.HLL_4)
    _update_each(registers, values)
    return bytes(registers.serialize_updatable())


def absorb_digest(sketch: bytes, values: Floats) -> bytes:
    """Adds values to a t-digest."""
    digest = tdigest_double.deserialize(sketch) if sketch else tdigest_double(DIGEST_K)
    digest.update(values.copy())  # the library takes no read-only array
    return bytes(digest.serialize())


def distinct(payloads: Sequence[bytes]) -> float:
    """Counts the different values: exact without a sketch, else estimated and rounded."""
    sketches, latest = _parts(payloads, "<i8")
    if not sketches:
        return float(len(np.unique(latest)))
    union = hll_union(LG_K)
    for sketch in sketches:
        union.update(hll_sketch.deserialize(sketch))
    _update_each(union, latest)
    return float(round(union.get_estimate()))


class Quantiles:
    """Quantiles of the values of some payloads: exact without a sketch, else of their merged t-digests."""

    def __init__(self, payloads: Sequence[bytes]) -> None:
        sketches, latest = _parts(payloads, "<f8")
        self._sorted = np.sort(latest)
        self._digest: tdigest_double | None = None
        if sketches:
            self._digest = tdigest_double(DIGEST_K)
            for sketch in sketches:
                self._digest.merge(tdigest_double.deserialize(sketch))
            self._digest.update(latest.copy())

    def value(self, percent: int) -> float:
        """Finds the smallest value that at least this share of the values does not exceed; NaN without values."""
        if self._digest is not None:
            return float(self._digest.get_quantile(percent / 100))
        count = len(self._sorted)
        return float(self._sorted[-(-percent * count // 100) - 1]) if count else float("nan")


def _parts(payloads: Sequence[bytes], dtype: str) -> tuple[list[bytes], npt.NDArray[Any]]:
    """Collects all sketches, and all values beside them."""
    parts = [split(payload) for payload in payloads]
    return [sketch for sketch, _ in parts if sketch], np.frombuffer(b"".join(latest for _, latest in parts), dtype)


def _update_each(target: hll_sketch | hll_union, values: Ints) -> None:
    for value in values.tolist():
        target.update(value)
