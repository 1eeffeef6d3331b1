"""Payloads: what a tile keeps that is not one number, as bytes of any length, a function of the tile's values alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from forebay.pipelines.steps.arrays import Ints, Payloads
from forebay.pipelines.steps.tile_state.frequent import absorb_numbers, add_texts
from forebay.pipelines.steps.tile_state.oldest_newest import add_timed_numbers, add_timed_texts
from forebay.pipelines.steps.tile_state.sketches import absorb_digest, absorb_distinct, add
from forebay.pipelines.steps.windows.layout import Accumulator, Kind

_ABSORB: dict[Kind, Callable[[bytes, Any], bytes]] = {
    Kind.DISTINCT: absorb_distinct,
    Kind.DIGEST: absorb_digest,
    Kind.FREQUENT: absorb_numbers,
}


def add_to_payloads(
    sketch: Accumulator,
    kept: int,
    payloads: Payloads,
    rows: npt.NDArray[np.intp],
    values: npt.NDArray[Any],
    event_ms: Ints,
) -> None:
    """Adds value i to `payloads[rows[i]]`, in place and tile by tile, those of a tile in order of arrival.

    Args:
        kept: how many values are kept, of the oldest or newest.
        payloads: shape (r,), of this one sketch.
        rows, values, event_ms: shape (n,).
    """
    order = np.argsort(rows, kind="stable")
    touched, starts = np.unique(rows[order], return_index=True)
    parts = np.split(values[order], starts[1:])
    if sketch.kind in (Kind.OLDEST, Kind.NEWEST):
        add_timed = add_timed_texts if sketch.text else add_timed_numbers
        chosen = slice(-kept, None) if sketch.kind is Kind.NEWEST else slice(kept)
        times = np.split(event_ms[order], starts[1:])
        for row, added, at_ms in zip(touched.tolist(), parts, times, strict=False):
            payloads[row] = add_timed(payloads[row], added, at_ms, chosen)
        return
    grow = _grower(sketch)
    for row, added in zip(touched.tolist(), parts, strict=False):
        payloads[row] = grow(payloads[row], added)


def _grower(sketch: Accumulator) -> Callable[[bytes, Any], bytes]:
    if sketch.text:
        return lambda payload, texts: add_texts(payload, texts.tolist())
    absorb = _ABSORB[sketch.kind]
    return lambda payload, values: add(absorb, payload, values)
