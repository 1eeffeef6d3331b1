"""Computes which part of time the windows of a view hold, as of a time."""

from __future__ import annotations

from typing import NamedTuple

from forebay.pipelines.contract.plan.views import Aggregation, StreamView


class Window(NamedTuple):
    """What a windowed feature counts: from `start_ms`, included, to `end_ms`, excluded."""

    start_ms: int
    end_ms: int
    """The end of the open tile; no event beyond it is counted, and events up to it may be (`ahead_ms`)."""


def window_of(view: StreamView, aggregation: Aggregation, as_of_ms: int) -> Window:
    """Computes the window of one aggregation: whole slides before the open one, and of that one what the resolution
    shows.
    """
    newest = as_of_ms // aggregation.slide_ms
    start_ms = (newest - aggregation.tiles + 1) * aggregation.slide_ms
    return Window(start_ms, (as_of_ms // view.head_ms + 1) * view.head_ms)
