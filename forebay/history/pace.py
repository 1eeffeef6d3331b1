"""Maps event time, sped up, to the monotonic clock: when each event of a replay is due."""

from __future__ import annotations

import msgspec


class Pace(msgspec.Struct, frozen=True):
    """A straight line from event time to monotonic time."""

    first_event_ms: int
    """The event time that is due at `started_s`."""
    started_s: float
    """Monotonic seconds."""
    speed: float
    """Event seconds per second; 0: everything is due at once."""

    def due_s(self, event_ms: int) -> float:
        """Returns the monotonic time in seconds at which an event is due."""
        if not self.speed:
            return self.started_s
        return self.started_s + (event_ms - self.first_event_ms) / 1_000 / self.speed

    def behind_ms(self, event_ms: int, now_s: float) -> float:
        """Returns how late an event is that is sent now, in ms of real time; 0 at full speed."""
        return max(0.0, (now_s - self.due_s(event_ms)) * 1e3) if self.speed else 0.0
