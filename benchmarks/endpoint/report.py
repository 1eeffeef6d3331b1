"""What the endpoint's benchmark reports."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.shared.report import Table


class EndpointRow(msgspec.Struct, frozen=True):
    """One case on one server, all turns together."""

    case: str
    server: str
    requests: int
    """Answered."""
    failed: int
    """Answered with an error, or not at all."""
    per_s: float
    """Answered per second."""
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


class StartRow(msgspec.Struct, frozen=True):
    """One server at its start."""

    server: str
    ready_s: float
    """From the start of the process until it answered."""
    resident_mb: float
    """Resident memory then."""


class EndpointReport(msgspec.Struct, frozen=True):
    """Both."""

    loads: list[EndpointRow]
    starts: list[StartRow]


def endpoint_table(rows: Sequence[EndpointRow]) -> Table:
    """One line per case and server."""
    header = ["case", "server", "p50 ms", "p90 ms", "p99 ms", "max ms", "answers/s", "answers", "failed"]
    lines = []
    for row in rows:
        times = [f"{value:.2f}" for value in (row.p50_ms, row.p90_ms, row.p99_ms, row.max_ms)]
        lines.append([row.case, row.server, *times, f"{row.per_s:,.0f}", f"{row.requests:,}", f"{row.failed:,}"])
    return Table(header, lines, text_columns=2)


def start_table(rows: Sequence[StartRow]) -> Table:
    """One line per server."""
    lines = [[row.server, f"{row.ready_s:.1f}", f"{row.resident_mb:.0f}"] for row in rows]
    return Table(["server", "ready after s", "resident MB"], lines)
