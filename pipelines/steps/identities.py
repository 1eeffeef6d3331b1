"""Identities: numbers of 64 bits, equal where values are equal, so that distinct ones can be counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mmh3
import numpy as np

from forebay.pipelines.steps.arrays import Floats, WholeNumbers

_LIMIT = 2.0**63


def text_identity(text: str | None) -> int:
    """Hashes a text to 64 bits of MurmurHash3; 0 for null."""
    return 0 if text is None else mmh3.hash64(text.encode("utf-8", "surrogatepass"))[0]


def float_identities(values: Floats) -> WholeNumbers:
    """Numbers floats: whole ones as they are, others by their bits; NaN is null."""
    known = ~np.isnan(values)
    # Minus zero equals zero, their bits do not.
    found = (values + 0.0).view(np.int64).copy()
    is_whole = known & (np.floor(values) == values) & (values >= -_LIMIT) & (values < _LIMIT)
    found[is_whole] = values[is_whole].astype(np.int64)
    return WholeNumbers(np.where(known, found, 0), known)


def identities_of(values: Sequence[Any]) -> WholeNumbers:
    """Numbers texts, whole numbers, booleans and floats; None is null.

    Raises:
        TypeError: another kind of value.
        ValueError: a whole number beyond 64 bits.
    """
    known = np.array([value is not None for value in values], dtype=bool)
    return WholeNumbers(np.array([0 if value is None else _identity(value) for value in values], np.int64), known)


def _identity(value: Any) -> int:
    if isinstance(value, str):
        return text_identity(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and -_LIMIT <= value < _LIMIT else _bits(value)
    number = int(value)
    if not -_LIMIT <= number < _LIMIT:
        raise ValueError(f"{number} is no whole number of 64 bits")
    return number


def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))
