"""What the scorer's benchmark reports."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.shared.report import Table


class ScorerRow(msgspec.Struct, frozen=True):
    """One stage of one build on so many requests at once, all turns together."""

    stage: str
    requests: int
    build: str
    calls: int
    p50_ms: float
    p99_ms: float


def scorer_table(rows: Sequence[ScorerRow]) -> Table:
    """One line per stage, size and build, beside the build before."""
    before = {(row.stage, row.requests): row.p50_ms for row in rows if row.build == "before"}
    lines = []
    for row in rows:
        slower = before.get((row.stage, row.requests))
        ratio = "" if slower is None or row.build == "before" else f"{slower / row.p50_ms:.1f}"
        times = [f"{row.p50_ms:.3f}", f"{row.p99_ms:.3f}"]
        lines.append([row.stage, row.build, str(row.requests), *times, f"{row.calls:,}", ratio])
    return Table(["stage", "build", "requests", "p50 ms", "p99 ms", "calls", "times faster"], lines, text_columns=2)
