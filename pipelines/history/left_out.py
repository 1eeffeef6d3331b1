"""Counts the events that history leaves out, by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from forebay.pipelines.errors import RecordError

DEFAULT_MAX_SHARE = 0.05
"""Of a topic's events: a faulty producer among many is less, a wrong column or a failing function is more."""


class LeftOut(msgspec.Struct, frozen=True):
    """Events that can't be used, by the reason that their dead letters on the stream would have."""

    events: int
    """All that there were."""
    reasons: dict[str, int]
    first: str
    """The first of them: its row and what is wrong with it; empty if there is none."""

    @classmethod
    def of(cls, events: int, errors: Mapping[int, RecordError]) -> LeftOut:
        """Counts errors, given by row."""
        reasons = Counter(error.reason for error in errors.values())
        first = min(errors, default=-1)
        return cls(events, dict(sorted(reasons.items())), f"row {first}: {errors[first]}" if errors else "")

    @property
    def count(self) -> int:
        """Returns how many events are left out."""
        return sum(self.reasons.values())

    @property
    def share(self) -> float:
        """Returns the share of all events that is left out, 0 to 1."""
        return self.count / self.events if self.events else 0.0

    def __str__(self) -> str:
        by_reason = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.items())
        return f"{self.count:,} of {self.events:,} events left out ({by_reason}; the first, {self.first})"
