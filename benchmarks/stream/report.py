"""What the throughput benchmark reports."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.shared.report import Table
from benchmarks.shared.systems import BASELINE


class StreamRow(msgspec.Struct, frozen=True):
    """One system on one workload."""

    system: str
    workload: str
    events_per_s: float
    """Median of the repeats; `min` and `max` are the slowest and the fastest."""
    min: float
    max: float
    repeats: int
    events: int
    """Counted in one run (median): fewer than on the topic where a run ended by its time limit."""


def stream_table(rows: Sequence[StreamRow]) -> Table:
    """One line per system and workload, with its ratio to the baseline."""
    baselines = {row.workload: row.events_per_s for row in rows if row.system == BASELINE}
    lines = []
    for row in rows:
        baseline = baselines.get(row.workload)
        ratio = f"{row.events_per_s / baseline:.1f}" if baseline else "-"
        spread = f"{row.min:,.0f} - {row.max:,.0f}"
        lines.append([row.workload, row.system, f"{row.events_per_s:,.0f}", spread, ratio, f"{row.events:,}"])
    header = ["workload", "system", "events/s (median)", "min - max", "x stock Faust", "events counted"]
    return Table(header, lines, text_columns=2)
