"""A steady stream of payments with probes in it: events that are watched until their row is there."""

from __future__ import annotations

import msgspec
import numpy as np

from benchmarks.shared.events import CARDS, card_ids
from benchmarks.shared.schedule import Schedule
from forebay.pipelines.steps.arrays import Ints

PROBE_CARDS = 20_000
"""Cards that only probes pay with; they take turns, so that a long run does not leave a row for every probe."""


class StreamLoad(msgspec.Struct, frozen=True):
    """How much is produced; the same load is the same events, whoever makes it."""

    rate: int
    """Events per second, probes included."""
    seconds: int
    probes_per_s: int
    cards: int = CARDS
    """Which pay by Zipf's law."""
    linger_ms: float = 1.0
    """How long the producer gathers events for one request."""
    event_speed: float = 1.0
    """Event time per time on the clock."""

    @property
    def count(self) -> int:
        """Events in all."""
        return self.rate * self.seconds

    @property
    def probe_every(self) -> int:
        """Every so many-th event is a probe, from the first on."""
        return max(1, self.rate // self.probes_per_s)

    @property
    def first_probe_card(self) -> int:
        """Probe cards follow the others."""
        return self.cards

    def event_cards(self) -> Ints:
        """The card of every event, shape (count,)."""
        cards = card_ids("zipf", self.count, self.cards)
        cards[:: self.probe_every] = self.probe_cards()
        return cards

    def probe_cards(self) -> Ints:
        """The card of every probe, shape (probes,)."""
        return self.first_probe_card + np.arange(len(self.probe_events())) % PROBE_CARDS

    def probe_events(self) -> Ints:
        """The number of every probe among the events, shape (probes,)."""
        return np.arange(0, self.count, self.probe_every)


class Timeline(msgspec.Struct, frozen=True):
    """When the events of a load are due, and when they say they happened."""

    start_us: int
    """See `now_us`."""
    first_event_ms: int
    """Event time of the first, ms since the epoch."""

    def schedule(self, load: StreamLoad) -> Schedule:
        """When each is due."""
        return Schedule(self.start_us, load.rate, load.count)

    def event_ms(self, load: StreamLoad, at: Ints) -> Ints:
        """Event time of some events, by their numbers."""
        return self.first_event_ms + (at * 1_000 * load.event_speed / load.rate).astype(np.int64)


def timeline(load: StreamLoad, start_us: int, now_us: int, wall_ms: int) -> Timeline:
    """A timeline on which event time, if it runs faster, has caught up with the clock when the stream ends.

    Args:
        start_us: when the first event is due.
        now_us: the time at `wall_ms`.
        wall_ms: ms since the epoch.
    """
    start_ms = wall_ms + (start_us - now_us) // 1_000
    return Timeline(start_us, start_ms - int(load.seconds * 1_000 * (load.event_speed - 1)))
