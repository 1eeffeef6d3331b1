"""Where events and windows stand in time, as fractions of what is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from forebay.explain.explanation import ExplainedView, Explanation


class Span(NamedTuple):
    """The time that is drawn."""

    start_ms: int
    end_ms: int

    def at(self, ms: int) -> float:
        """Places a time: from 0 at the start to 1 at the end."""
        return min(1.0, max(0.0, (ms - self.start_ms) / (self.end_ms - self.start_ms)))


class Bar(NamedTuple):
    """A window, and the features that count it."""

    start_ms: int
    end_ms: int
    features: tuple[str, ...]


def bars(explanation: Explanation, view: ExplainedView) -> Sequence[Bar]:
    """Makes the bars of a view's windows, the shortest first."""
    found: dict[tuple[int, int], list[str]] = {}
    for each in explanation.features:
        if each.start_ms is not None and each.end_ms is not None and each.name.startswith(f"{view.alias}__"):
            found.setdefault((each.start_ms, each.end_ms), []).append(each.name)
    return [Bar(*window, tuple(names)) for window, names in sorted(found.items(), reverse=True)]


def span_of(windows: Sequence[Bar], as_of_ms: int) -> Span:
    """Finds the span that is drawn: from the beginning of the longest window to the end of the newest one."""
    start_ms = min((each.start_ms for each in windows), default=as_of_ms - 1)
    return Span(start_ms, max((each.end_ms for each in windows), default=as_of_ms + 1))
