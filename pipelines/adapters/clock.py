"""Says what "now" means: the wall clock, or, in replays of the past, the highest event time processed."""

from __future__ import annotations

import time
from typing import Protocol

from forebay.pipelines.adapters.progress_reader import ProgressReader


class Clock(Protocol):
    """Tells the time that requests without a time of their own are answered as of."""

    def now_ms(self) -> int:
        """Returns ms since the epoch."""
        ...


class WallClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Returns ms since the epoch."""
        return time.time_ns() // 1_000_000


class WatermarkClock:
    """The highest event time the feature processor has contained, read at most every `interval_s`."""

    def __init__(self, reader: ProgressReader, interval_s: float = 0.1) -> None:
        self._reader = reader
        self._interval_s = interval_s
        self._read_at = float("-inf")
        self._now_ms = 0

    def now_ms(self) -> int:
        """Returns ms since the epoch; 0 before the first event.

        Raises:
            StoreUnavailable: progress can't be read.
        """
        if time.monotonic() - self._read_at >= self._interval_s:
            self._now_ms = max(self._now_ms, self._reader.watermark_ms())
            self._read_at = time.monotonic()
        return self._now_ms
