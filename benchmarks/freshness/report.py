"""What the freshness benchmark reports."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.shared.percentiles import Percentiles
from benchmarks.shared.report import Table

WORKLOAD = "freshness"


class FreshnessRow(msgspec.Struct, frozen=True):
    """From when an event was due to when its row could be read, with one system; milliseconds."""

    system: str
    workload: str
    events_per_s: float
    """Produced in the measured time, by the clock: the rate asked for, if the producer kept up."""
    probes: int
    """Measured ones, after the warm-up."""
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    produced_late_p99_ms: float
    """How late the producer itself was: part of the times above."""


def freshness_table(rows: Sequence[FreshnessRow]) -> Table:
    """One line per system."""
    header = ["system", "events/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "producer late, p99 ms", "probes"]
    lines = []
    for row in rows:
        times = Percentiles(row.p50_ms, row.p90_ms, row.p99_ms, row.max_ms).cells()
        late = f"{row.produced_late_p99_ms:.1f}"
        lines.append([row.system, f"{row.events_per_s:,.0f}", *times, late, f"{row.probes:,}"])
    return Table(header, lines)
