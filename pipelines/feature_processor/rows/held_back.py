"""Decides which rows are written without the values that Feast reads, and when these are due."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile

import numpy as np

from forebay.pipelines.steps.arrays import Mask

DUE_AFTER = 0.75
"""Share of the view's duration after which values are due: the rest is for a batch under way, and for writing."""

MOST_ROWS = 250_000
"""Most rows that are held back, and most that are known to be published lately; others are published as they change."""

_FORGOTTEN_LATENESS = 0.9
"""How much of the lateness of one look counts at the next."""


class HeldBack:
    """Knows of one view's rows which are held back, and which were published lately. Not thread-safe.

    The first write after a while is published at once; what follows it within the duration is held back, and published
    together. Rows that are held back are also named in the store (`held_key`), so that another process can publish
    them; here they have times. Times are monotonic, in seconds.
    """

    def __init__(self, every_ms: int | None, monotonic_s: Callable[[], float]) -> None:
        """Args:
        every_ms: see `StreamView.publish_every_ms`.
        """
        self._wait_s = DUE_AFTER * (every_ms or 0) / 1_000
        self._now_s = monotonic_s
        self._due_s: dict[bytes, float] = {}
        """By key of a row that is held back, when it is due; the earliest first."""
        self._overdue: dict[bytes, None] = {}
        """Keys of rows that are held back since a time that is not known."""
        self._published_s: dict[bytes, float] = {}
        """By key of a row that was published within the last `_wait_s`, when; the earliest first."""
        self._looked_s = 0.0
        """When rows were looked at last: those that are under way, or those that are due."""
        self._ahead_s = 0.0
        """How much too late rows were found to be due lately: as much earlier they are published now."""

    def forget(self) -> None:
        """Forgets everything: the assignment, or the store, may have changed."""
        self._due_s, self._overdue, self._published_s = {}, {}, {}

    def shown(self, keys: Sequence[bytes]) -> Mask:
        """Tells which rows are to be written with their values, shape (keys,). `written` says what became of them."""
        if not self._wait_s:
            return np.ones(len(keys), dtype=bool)
        self._looked_s = now_s = self._now_s()
        for key in list(takewhile(lambda key: self._published_s[key] <= now_s - self._wait_s, self._published_s)):
            del self._published_s[key]
        return np.array([self._is_shown(key, now_s) for key in keys], dtype=bool)

    def _is_shown(self, key: bytes, now_s: float) -> bool:
        due_s = self._due_s.get(key)
        if due_s is not None:
            return due_s <= now_s + self._ahead_s
        return key not in self._published_s or len(self._due_s) >= MOST_ROWS

    def written(self, shown: Iterable[bytes], held: Iterable[bytes]) -> None:
        """Takes note of rows that were written with their values, and of others that were written without."""
        for key in shown:
            self.released(key)
            if self._wait_s and len(self._published_s) < MOST_ROWS:
                self._published_s.pop(key, None)  # the earliest stay first
                self._published_s[key] = self._looked_s
        for key in held:
            self._due_s.setdefault(key, self._looked_s + self._wait_s)

    def released(self, key: bytes) -> None:
        """Takes note that a row is not held back, or not there."""
        self._due_s.pop(key, None)
        self._overdue.pop(key, None)

    def found(self, keys: Iterable[bytes]) -> None:
        """Takes note of rows that the store says are held back: they are due, but for those that are known here."""
        self._overdue.update(dict.fromkeys(key for key in keys if key not in self._due_s))

    def again(self, key: bytes) -> None:
        """Takes note that a row could not be published as it was known: it is still due, if it is held back at all."""
        if self._due_s.pop(key, None) is not None:
            self._overdue[key] = None

    @property
    def any_due(self) -> bool:
        """Whether some rows are due."""
        return bool(self._overdue) or next(iter(self._due_s.values()), np.inf) <= self._now_s() + self._ahead_s

    def due(self) -> list[bytes]:
        """Returns the rows that are due, or will be before the next look, as far as the last ones tell."""
        self._looked_s = now_s = self._now_s()
        late_s = now_s - next(iter(self._due_s.values()), now_s)
        self._ahead_s = min(max(late_s, _FORGOTTEN_LATENESS * self._ahead_s), self._wait_s)
        until_s = now_s + self._ahead_s
        return [*self._overdue, *takewhile(lambda key: self._due_s[key] <= until_s, self._due_s)]
