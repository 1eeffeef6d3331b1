"""What the latency benchmark reports."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.shared.percentiles import Percentiles
from benchmarks.shared.report import Table


class LatencyRow(msgspec.Struct, frozen=True):
    """Event to prediction with one delivery guarantee, in milliseconds."""

    delivery: str
    rate: int
    """Events per second that were produced."""
    events: int
    """Measured ones, after the warm-up."""
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    barrier_met: float
    """Share of predictions whose features contained the event itself in time."""


def latency_table(rows: Sequence[LatencyRow]) -> Table:
    """One line per guarantee."""
    lines = []
    for row in rows:
        times = Percentiles(row.p50_ms, row.p90_ms, row.p99_ms, row.max_ms).cells()
        # Rounded down: 100 % must mean every single one.
        met = f"{int(row.barrier_met * 10_000) / 100:g} %"
        lines.append([row.delivery, f"{row.rate:,}", *times, met, f"{row.events:,}"])
    header = ["delivery", "events/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "barrier met", "events measured"]
    return Table(header, lines)
