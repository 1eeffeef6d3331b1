"""Types of the arrays that the steps pass on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Payloads = npt.NDArray[Any]
"""Of dtype object: every element is `bytes`."""
Chosen = npt.NDArray[np.bool_] | npt.NDArray[np.intp]
"""Rows of an array: a mask, or indices."""


class EventIds(NamedTuple):
    """The ids of n events, as their producer gave them."""

    values: Ints
    """Shape (n,): whole numbers as they are, of texts 64 bits of MurmurHash3."""
    known: npt.NDArray[np.bool_]
    """Shape (n,): False where the event has no id (null, or an empty text)."""

    def take(self, chosen: Chosen) -> EventIds:
        """Some of the ids, by mask or by index."""
        return EventIds(self.values[chosen], self.known[chosen])
