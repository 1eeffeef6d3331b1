"""Whole from: from which time on a window holds all its events, where a row has dropped old tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forebay.pipelines.steps.arrays import Ints
from forebay.pipelines.steps.windows.fold import NO_TILE
from forebay.pipelines.steps.windows.inside import Window

_BEGINNING_MS = -(2**62)
"""Before every event, and far enough from the smallest integer to be added to."""


class WholeFrom:
    """Knows the windows of all features of a view."""

    def __init__(self, windows: Sequence[Window], window_of: Sequence[int], head_ms: int) -> None:
        """Args:
        windows: those of the view.
        window_of: per feature, which of them is its own.
        head_ms: slide of the first group.
        """
        self._group = np.array([each.group for each in windows], dtype=np.intp)
        self._not_first = (self._group > 0)[:, np.newaxis]
        self._slide_ms = np.array([[each.slide_ms] for each in windows], dtype=np.int64)
        self._before_head = np.array([[each.tiles - 1] for each in windows], dtype=np.int64)
        self._window_of = np.array(window_of, dtype=np.intp)
        self._head_ms = head_ms

    def __call__(self, whole_from: Sequence[Ints], removed_before_ms: int) -> Ints:
        """Finds, per feature, the earliest time as of which, and of any later one, its window is whole.

        Args:
            whole_from: per group, of n rows, the first tile from which on none has been dropped.
            removed_before_ms: rows whose newest event is older may have been removed; `NO_TILE` if none has been.

        Returns:
            Shape (features, n).
        """
        slide_ms, first = self._slide_ms, np.asarray(whole_from)
        if removed_before_ms == NO_TILE and (first == NO_TILE).all():
            return np.full((len(self._window_of), first.shape[1]), _BEGINNING_MS)
        # As of t, all from tile floor(t/S) - W/S + 1 on, and all of the first group from floor(t/S) S/R on.
        own = first[self._group]
        known_ms = _times((own + self._before_head) * slide_ms, own)
        heads_ms = -(-_times(first[0] * self._head_ms, first[0]) // slide_ms) * slide_ms
        known_ms = np.where(self._not_first, np.maximum(known_ms, heads_ms), known_ms)
        if removed_before_ms != NO_TILE:
            removed_ms = -(-(removed_before_ms + self._before_head * slide_ms) // slide_ms) * slide_ms
            known_ms = np.maximum(known_ms, removed_ms)
        return known_ms[self._window_of]


def _times(start_ms: Ints, whole_from: Ints) -> Ints:
    """Computes the start of each tile, ms; the beginning of time where nothing has been dropped."""
    return np.where(whole_from == NO_TILE, _BEGINNING_MS, start_ms)
