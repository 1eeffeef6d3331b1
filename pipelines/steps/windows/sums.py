"""Sums that lose nothing that matters: of floats with the rounding errors kept beside, of whole numbers in two halves.

Floats: T. Ogita, S. M. Rump, S. Oishi, "Accurate sum and dot product", SIAM J. Sci. Comput. 26 (2005), algorithm Sum2:
as accurate as if it were computed with twice the digits. Tiles are added up by the splitting of S. M. Rump, "Ultimately
fast accurate summation", SIAM J. Sci. Comput. 31 (2009): parts that add up without error, and small rests.

Whole numbers: the sums of the lower 32 bits and of what is above them, each an int64, so neither overflows before 2^31
values.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forebay.pipelines.steps.arrays import Floats, Ints
from forebay.pipelines.steps.windows.slots import Slots

_HALF_BITS = 32
_LOW_BITS = (1 << _HALF_BITS) - 1
_HIGH_LIMIT = 1 << (63 - _HALF_BITS)
_TILE_BITS = 14
"""More than 2^13 tiles are in no window."""


def add_compensated(totals: Floats, errors: Floats, rows: npt.NDArray[np.intp], added: Floats) -> None:
    """Adds value i to `totals[rows[i]]`, in place and one after another, and what rounding lost to `errors`.

    Args:
        totals, errors: shape (r,); the sum is `totals + errors`.
        rows, added: shape (n,).
    """
    if not len(rows):
        return
    order = np.argsort(rows, kind="stable")
    values = added[order]
    touched, starts, sizes = np.unique(rows[order], return_index=True, return_counts=True)
    longest_first = np.argsort(-sizes, kind="stable")
    touched, starts, sizes = touched[longest_first], starts[longest_first], sizes[longest_first]
    rank, longer = 0, len(sizes)
    # The first value of all rows, the second of those that have two, ...; but when few rows are left that have many
    # more, row by row. Either way a row's values are added in their order.
    while longer > sizes[0] - rank:
        at = touched[:longer]
        before, value = totals[at], values[starts[:longer] + rank]
        after = before + value
        errors[at] += _lost(before, value, after)
        totals[at] = after
        rank += 1
        longer = int(np.searchsorted(-sizes, -rank))
    for at, start, size in zip(touched[:longer].tolist(), starts.tolist(), sizes.tolist(), strict=False):
        value = values[start + rank : start + size]
        running = np.add.accumulate(np.concatenate((totals[at : at + 1], value)))
        lost = _lost(running[:-1], value, running[1:])
        totals[at] = running[-1]
        errors[at] = np.add.accumulate(np.concatenate((errors[at : at + 1], lost)))[-1]


def _lost(before: Floats, value: Floats, after: Floats) -> Floats:
    """Computes the rounding error of `after = before + value` (D. E. Knuth's TwoSum)."""
    with np.errstate(invalid="ignore"):  # of an infinite sum there is no error
        gained = after - before
        lost: Floats = (before - (after - gained)) + (value - gained)
    return lost


def compensated_totals(slots: Slots, totals: Floats, errors: Floats) -> Floats:
    """Adds up some tiles for each slot, shape (k, slots); no slot's sum depends on another slot.

    Args:
        totals, errors: shape (k, tiles).
    """
    largest = slots.largest(np.abs(totals), 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        splitter = np.ldexp(1.0, np.frexp(largest)[1] + _TILE_BITS).take(slots.slot, axis=1)
        exact = (splitter + totals) - splitter
        rest = (totals - exact) + errors
        found = slots.added_up(np.concatenate((exact, rest)))
        return found[: len(totals)] + found[len(totals) :]


def add_halves(high: Ints, low: Ints, rows: npt.NDArray[np.intp], added: Ints) -> None:
    """Adds whole number i to row `rows[i]`, in place.

    Args:
        high, low: shape (r,), the two halves of the sums.
        rows, added: shape (n,).
    """
    np.add.at(high, rows, added >> _HALF_BITS)
    np.add.at(low, rows, added & _LOW_BITS)


class WholeTotals:
    """The sums of some tiles of whole numbers for each slot."""

    def __init__(self, slots: Slots, high: Ints, low: Ints) -> None:
        """Args:
        high, low: shape (k, tiles).
        """
        found = slots.added_up_whole(np.concatenate((high + (low >> _HALF_BITS), low & _LOW_BITS)))
        lower = found[len(high) :]
        self._high, self._low = found[: len(high)] + (lower >> _HALF_BITS), lower & _LOW_BITS

    def floats(self) -> Floats:
        """Returns the sums as floats, shape (k, slots), rounded once or twice."""
        return self._high.astype(np.float64) * float(1 << _HALF_BITS) + self._low.astype(np.float64)

    def whole(self) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Returns the sums as int64, shape (k, slots), and which of them it can hold; the others are 0."""
        fits = (self._high >= -_HIGH_LIMIT) & (self._high < _HIGH_LIMIT)
        return np.where(fits, self._high, 0) << _HALF_BITS | np.where(fits, self._low, 0), fits
