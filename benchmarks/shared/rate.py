"""The definition of throughput, the same for every system."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from forebay.pipelines.errors import ForebayError

SAMPLE_EVERY_S = 0.05
STALL_TIMEOUT_S = 90.0


class MeasurementError(ForebayError):
    """A run gave nothing to measure."""


class Sample(NamedTuple):
    """How far a system has come at some time."""

    at_s: float
    """Monotonic."""
    events: int
    """Processed since its start."""


class Rate(NamedTuple):
    """One run's result."""

    events_per_s: float
    events: int
    """The events counted."""


def rate_of(samples: Sequence[Sample]) -> Rate:
    """Events after the first progress, by the time from the first progress to the last.

    The start of the process, and what it processed before its first progress was seen, do not count.

    Raises:
        MeasurementError: fewer than two different samples: too few events.
    """
    first, last = samples[0], samples[-1]
    if last.events <= first.events:
        raise MeasurementError(f"{last.events} events were processed between two looks: give more (--events)")
    events = last.events - first.events
    return Rate(events / (last.at_s - first.at_s), events)


def watch(count: Callable[[], int], total: int, seconds: float, check_running: Callable[[], None]) -> list[Sample]:
    """Looks at a system's progress until it reached the end, or came forward once more after its time was over.

    A system that comes forward in large steps would lose most of one, were it stopped amid it.

    Args:
        count: events processed so far.
        total: events on the topic.
        seconds: how long to look, from the first progress.
        check_running: raises if the system has ended.

    Raises:
        MeasurementError: no progress within `STALL_TIMEOUT_S`, in the beginning or in the end.
    """
    samples: list[Sample] = []
    moved_s = time.monotonic()
    while True:
        sample = Sample(time.monotonic(), count())
        moved = sample.events != (samples[-1].events if samples else 0)
        if moved:
            moved_s = sample.at_s
        if sample.events:
            samples.append(sample)
        if sample.events >= total or (moved and sample.at_s - samples[0].at_s >= seconds):
            return samples
        if sample.at_s - moved_s >= max(STALL_TIMEOUT_S, seconds):
            raise MeasurementError(f"no progress for {sample.at_s - moved_s:.0f} s")
        check_running()
        time.sleep(SAMPLE_EVERY_S)
