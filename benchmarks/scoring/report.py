"""What the benchmark of the scoring worker reports."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.shared.percentiles import Percentiles
from benchmarks.shared.report import Table


class BacklogRow(msgspec.Struct, frozen=True):
    """One worker on a full topic, exactly once."""

    system: str
    features: int
    predictions_per_s: float
    cpu_us: float
    """Processor time of the worker per prediction from the first one on, us: a busy machine hardly changes it."""
    first_s: float
    """From the start of the process to its first prediction, seen by a read_committed reader."""
    rss_bytes: int
    """Highest."""
    events: int
    """Each was scored once: checked by the predictions' ids."""


class ScoringLatencyRow(msgspec.Struct, frozen=True):
    """Event to prediction, exactly once, in milliseconds from when the event was due."""

    system: str
    features: int
    rate: int
    """Events per second that were produced."""
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    events: int
    """Measured ones, after the warm-up."""


def backlog_table(rows: Sequence[BacklogRow]) -> Table:
    """One line per run."""
    lines = [
        [
            row.system,
            str(row.features),
            f"{row.predictions_per_s:,.0f}",
            f"{row.cpu_us:,.0f}",
            f"{row.first_s:.1f}",
            f"{row.rss_bytes / 1e6:,.0f}",
            f"{row.events:,}",
        ]
        for row in rows
    ]
    return Table(["system", "features", "predictions/s", "CPU us each", "first after s", "memory MB", "events"], lines)


def scoring_latency_table(rows: Sequence[ScoringLatencyRow]) -> Table:
    """One line per run."""
    lines = []
    for row in rows:
        times = Percentiles(row.p50_ms, row.p90_ms, row.p99_ms, row.max_ms).cells()
        lines.append([row.system, str(row.features), f"{row.rate:,}", *times, f"{row.events:,}"])
    header = ["system", "features", "events/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "events measured"]
    return Table(header, lines)
