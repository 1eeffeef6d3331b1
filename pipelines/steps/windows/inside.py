"""Inside: which tiles are in which window, as of a time for each entity.

As of t, a window of length W and slide S holds tiles floor(t/S) - W/S + 1 ... floor(t/S). The last of them, its head,
is still growing as of t, and a row that is ahead of t holds later events of it too. So a head is taken from the
view's shortest tiles, of length R: those up to floor(t/R), and the window holds no event from later than the next
multiple of R.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forebay.pipelines.steps.arrays import Ints
from forebay.pipelines.steps.windows.flat import FlatTiles

_NEVER_MS = np.iinfo(np.int64).max


class Window(NamedTuple):
    """What aggregations may share: the tiles of one length of window."""

    group: int
    slide_ms: int
    tiles: int


class Inside(NamedTuple):
    """The tiles in each window of each entity: m pairs, sorted by slot, those of a slot ascending in time.

    Slot w * n + e is window w of entity e. A tile is there once for each window that it is in.
    """

    slot: Ints
    """Shape (m,)."""
    row: Ints
    """Shape (m,): the tile."""


class TilesInside:
    """Finds the tiles of some windows."""

    def __init__(self, windows: Sequence[Window], groups: int) -> None:
        self._groups = groups
        self._numbers = np.arange(len(windows))
        self._group = np.array([each.group for each in windows], dtype=np.int64)
        self._in_first = (self._group == 0)[:, np.newaxis]
        self._slide_ms = np.array([[each.slide_ms] for each in windows], dtype=np.int64)
        self._before_head_ms = np.array([[(each.tiles - 1) * each.slide_ms] for each in windows], dtype=np.int64)

    def __call__(self, tiles: FlatTiles, as_of_ms: Ints) -> Inside:
        """Finds the tiles in each window.

        Args:
            as_of_ms: shape (n,).
        """
        count = len(as_of_ms)
        head_ms = as_of_ms // self._slide_ms * self._slide_ms
        oldest_ms = head_ms - self._before_head_ms
        # Per window and group, the first and the last start of a tile inside; no other group has any.
        first_ms = np.full((len(self._numbers), self._groups, count), _NEVER_MS)
        last_ms = np.empty_like(first_ms)
        first_ms[self._numbers, self._group], last_ms[self._numbers, self._group] = oldest_ms, head_ms - 1
        first_ms[:, 0], last_ms[:, 0] = np.where(self._in_first, oldest_ms, head_ms), as_of_ms
        which = tiles.group * count + tiles.entity
        begun = first_ms.reshape(len(self._numbers), self._groups * count).take(which, axis=1) <= tiles.start_ms
        begun &= last_ms.reshape(len(self._numbers), self._groups * count).take(which, axis=1) >= tiles.start_ms
        window, row = begun.nonzero()
        return Inside(window * count + tiles.entity[row], row)
