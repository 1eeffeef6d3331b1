"""Notices owned partitions with records that are not read: a client with stale metadata looks healthy and idle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

Positions = Mapping[tuple[str, int], int]
"""(topic, partition) -> the offset of the next record to be read; negative where the client does not know."""

THREAD_NAME = "silence"
"""Of the thread that asks the other client."""

Probe = Callable[[Positions], bool]
"""Whether another client reads a record at one of these positions. May wait for brokers."""


class Silence:
    """Counts looks at which nothing has moved, asks another client, and counts again.

    Not thread-safe but for the probe, which runs on a thread of its own: no call into a client library is trusted.
    """

    def __init__(self, probe: Probe, looks: int) -> None:
        """Args:
        looks: without movement, before another client is asked, and again after it has read something.
        """
        self._probe = probe
        self._looks = looks
        self._positions: Positions = {}
        self._quiet = 0
        self._asking: threading.Thread | None = None
        self._unread_at: Positions | None = None
        """Positions at which another client has read a record."""

    def broken(self) -> None:
        """Starts to count again: something was read, or there is a good reason why nothing is."""
        self._quiet, self._unread_at = 0, None

    def look(self, positions: Positions) -> bool:
        """Returns whether this client has been silent although it has records to read. Call it regularly."""
        if positions != self._positions or not positions:
            self._positions = dict(positions)
            self.broken()
            return False
        self._quiet += 1
        if self._quiet < self._looks:
            return False
        self._quiet = 0
        if self._unread_at == self._positions:
            return True
        if self._asking is None or not self._asking.is_alive():
            self._asking = threading.Thread(target=self._ask, args=(dict(positions),), name=THREAD_NAME, daemon=True)
            self._asking.start()
        return False

    def _ask(self, positions: Positions) -> None:
        # No log line: the first record after an idle time may come while the other client waits, and is read by both.
        if self._probe(positions):
            self._unread_at = positions
