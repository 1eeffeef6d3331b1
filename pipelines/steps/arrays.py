"""Types of the arrays that the steps pass on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
"""Values of a feature, shape (n,): float64 with NaN for null, or object with None for null (texts, lists, and whole
numbers where one of them is beyond what a float64 can hold)."""
Mask = npt.NDArray[np.bool_]
"""True for the rows of an array that are chosen."""
Chosen = Mask | npt.NDArray[np.intp]
"""Rows of an array: a mask, or indices."""


class WholeNumbers(NamedTuple):
    """A column of whole numbers, exact over all 64 bits."""

    values: Ints
    """Shape (n,)."""
    known: npt.NDArray[np.bool_]
    """Shape (n,): False for null."""

    @classmethod
    def joined(cls, parts: Sequence[WholeNumbers]) -> WholeNumbers:
        """Joins the columns of some batches, one after the other."""
        return cls(np.concatenate([part.values for part in parts]), np.concatenate([part.known for part in parts]))

    def take(self, chosen: Chosen) -> WholeNumbers:
        """Takes some of the values, by mask or by index."""
        return WholeNumbers(self.values[chosen], self.known[chosen])

    @property
    def is_exact(self) -> bool:
        """Whether a float64 can hold every one of them."""
        return bool(((self.values >= -EXACT) & (self.values <= EXACT) | ~self.known).all())

    def column(self) -> Column:
        """Returns the values as a feature's column."""
        if self.is_exact:
            return np.where(self.known, self.values, np.nan)
        return objects([value if known else None for value, known in zip(*map(np.ndarray.tolist, self), strict=True)])


def joined_columns(parts: Sequence[Column]) -> Column:
    """Joins the columns of some requests for one feature, one after the other."""
    if len({part.dtype for part in parts}) == 1:
        return np.concatenate(parts)
    return np.concatenate([part if part.dtype == object else whole_objects(part.tolist()) for part in parts])


def whole_objects(values: Iterable[Any]) -> Column:
    """Returns whole numbers as Python's own, exact over all 64 bits; None and NaN are null."""
    return objects([None if value is None or value != value else int(value) for value in values])


EXACT = 2**53
"""Up to here, on either side of 0, a float64 holds every whole number."""


def objects(values: Sequence[Any]) -> npt.NDArray[Any]:
    """Makes a column of Python objects, shape (n,); lists stay lists, of whatever length."""
    return np.fromiter(values, dtype=object, count=len(values))
