"""Slots: where tiles are merged. Slot w * n + e is window w of entity e; a tile is merged into each window it is in.

Several accumulators that merge alike are rows of one array, and are merged by the same few calls. Every merge goes tile
by tile in ascending order, so an entity's values do not depend on its neighbours in a batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from forebay.pipelines.steps.arrays import Floats, Ints

Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]
"""float64, or int64 of whole numbers."""


class Slots:
    """The slots of m tiles."""

    def __init__(self, slot: Ints, count: int) -> None:
        """Args:
        slot: shape (m,), ascending; the tiles of a slot ascend in time.
        count: number of slots; some may have no tile.
        """
        self.slot = slot
        self.count = count
        self._places: dict[int, Ints] = {}

    def added_up(self, values: Floats) -> Floats:
        """Adds up values one after another, without compensation.

        Args:
            values: shape (k, m).

        Returns:
            Shape (k, count).
        """
        rows = len(values)
        sums = np.bincount(self._place(rows), values.ravel(), rows * self.count)
        return sums.astype(np.float64, copy=False).reshape(rows, self.count)

    def added_up_whole(self, values: Ints) -> Ints:
        """Sums of whole numbers, as `added_up`."""
        sums = np.zeros(len(values) * self.count, np.int64)
        np.add.at(sums, self._place(len(values)), values.ravel())
        return sums.reshape(len(values), self.count)

    def largest(self, values: Numbers, none: float) -> Numbers:
        """Finds the largest value of each slot.

        Args:
            values: shape (k, m).
            none: what stands where there is none; not larger than any value.

        Returns:
            Shape (k, count).
        """
        found = np.full(len(values) * self.count, none, values.dtype)
        np.maximum.at(found, self._place(len(values)), values.ravel())
        return found.reshape(len(values), self.count)

    def first(self, present: Bools) -> Ints:
        """Finds the first tile of each slot that has something, shape (k, count); -1 where none has.

        Args:
            present: shape (k, m).
        """
        place, tile = self._present(present)
        return self._found(len(present), place, tile, slice(1, None))

    def last(self, present: Bools) -> Ints:
        """Finds the last tile of each slot that has something, as `first`."""
        place, tile = self._present(present)
        return self._found(len(present), place, tile, slice(None, -1))

    def _present(self, present: Bools) -> tuple[Ints, Ints]:
        """Finds where each tile that has something is merged, ascending, and which tile it is."""
        row, tile = present.nonzero()
        return row * self.count + self.slot[tile], tile

    def _found(self, rows: int, place: Ints, tile: Ints, with_neighbour: slice) -> Ints:
        """Finds the tiles whose neighbour on one side is of another slot."""
        chosen = np.ones(len(place), dtype=bool)
        chosen[with_neighbour] = place[1:] != place[:-1]
        found = np.full(rows * self.count, -1)
        found[place[chosen]] = tile[chosen]
        return found.reshape(rows, self.count)

    def _place(self, rows: int) -> Ints:
        """Finds where each value of so many rows is merged, shape (rows * m,)."""
        if rows not in self._places:
            self._places[rows] = (self.slot + np.arange(rows)[:, np.newaxis] * self.count).ravel()
        return self._places[rows]


def picked(values: Numbers, tile: Ints, none: Any) -> Numbers:
    """Picks the value of one tile per row and slot, shape (k, count); `none` where `tile` is -1.

    Args:
        values: shape (k, m).
        tile: shape (k, count).
    """
    if not values.shape[1]:
        return np.full(tile.shape, none, values.dtype)
    return np.where(tile < 0, none, np.take_along_axis(values, tile, axis=1)).astype(values.dtype, copy=False)
