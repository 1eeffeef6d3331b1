"""When events are due: made before the first one, so that an event that is late does not delay the next ones."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

_LONGEST_SLEEP_S = 0.1


def now_us() -> int:
    """The clock of schedules and measurements: monotonic, and on Linux the same in all processes."""
    return time.monotonic_ns() // 1_000


class Schedule(msgspec.Struct, frozen=True):
    """Event i is due at start + i/rate."""

    start_us: int
    """In `now_us`."""
    rate: int
    """Events per second."""
    count: int
    """Events in all."""

    @property
    def end_us(self) -> int:
        """When the last one is over."""
        return self.due_us(self.count)

    def due_us(self, at: int) -> int:
        """When an event is due."""
        return self.start_us + at * 1_000_000 // self.rate

    def due_by(self, time_us: int) -> int:
        """How many events are due at some time."""
        elapsed_us = time_us - self.start_us
        # The first event due after n/rate seconds is number n, rounded up: event n itself is due at that time.
        return 0 if elapsed_us < 0 else min(self.count, ((elapsed_us + 1) * self.rate - 1) // 1_000_000 + 1)

    def due(self, tick_us: int = 0) -> Iterator[range]:
        """The events, as soon as they are due: those that came due since the last look, together.

        Args:
            tick_us: shortest time between two looks; 0: every event has its own.
        """
        at = 0
        while at < self.count:
            until = self.due_by(now_us())
            if until > at:
                yield range(at, until)
                at = until
            else:
                ahead_s = max(self.due_us(at) - now_us(), tick_us) / 1e6
                time.sleep(min(ahead_s, _LONGEST_SLEEP_S))
