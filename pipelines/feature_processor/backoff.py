"""Spaces out restarts of what ends by itself: the first is at once, later ones wait longer, up to a bound."""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST_S, LONGEST_S = 1.0, 300.0

WELL_AFTER_S = 60.0
"""What ran for so long did not fail at once: it is started again as if for the first time."""


class Backoff:
    """Counts the restarts of one process, and says when the next is due."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = monotonic_s
        self._wait_s = 0.0
        self._started_s = 0.0
        self._due_s: float | None = None

    def started(self) -> None:
        """Takes note of a start."""
        self._started_s, self._due_s = self._now_s(), None

    def ended(self) -> float | None:
        """Takes note of an end; returns the seconds to wait, once for every start."""
        if self._due_s is not None:
            return None
        if self._now_s() - self._started_s >= WELL_AFTER_S:
            self._wait_s = 0.0
        wait_s, self._wait_s = self._wait_s, min(max(FIRST_S, 2 * self._wait_s), LONGEST_S)
        self._due_s = self._now_s() + wait_s
        return wait_s

    @property
    def due(self) -> bool:
        """Whether it may be started."""
        return self._due_s is None or self._now_s() >= self._due_s
