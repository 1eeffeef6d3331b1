"""Types of the arrays that the steps pass on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Payloads = npt.NDArray[Any]
"""Of dtype object: every element is `bytes`."""
Texts = npt.NDArray[Any]
"""Of dtype object: every element is `bytes` in UTF-8, or None for null."""
Column = npt.NDArray[Any]
"""Values of a feature, shape (n,): float64 with NaN for null, or object with None for null (texts and lists)."""
Chosen = npt.NDArray[np.bool_] | npt.NDArray[np.intp]
"""Rows of an array: a mask, or indices."""


class EventIds(NamedTuple):
    """The ids of n events, as their producer gave them."""

    values: Ints
    """Shape (n,): whole numbers as they are, of texts 64 bits of MurmurHash3."""
    known: npt.NDArray[np.bool_]
    """Shape (n,): False where the event has no id (null, or an empty text)."""

    @classmethod
    def joined(cls, parts: Sequence[EventIds]) -> EventIds:
        """The ids of some batches, one after the other."""
        return cls(np.concatenate([part.values for part in parts]), np.concatenate([part.known for part in parts]))

    def take(self, chosen: Chosen) -> EventIds:
        """Some of the ids, by mask or by index."""
        return EventIds(self.values[chosen], self.known[chosen])


def objects(values: Sequence[Any]) -> npt.NDArray[Any]:
    """A column of Python objects, shape (n,); lists stay lists, of whatever length."""
    return np.fromiter(values, dtype=object, count=len(values))
