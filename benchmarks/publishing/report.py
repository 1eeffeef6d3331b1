"""What the publishing benchmark reports."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.shared.report import Report, Table
from benchmarks.stream.report import StreamRow


class WriteRow(msgspec.Struct, frozen=True):
    """One kind of write of rows with so many features. Times are per row, in microseconds, medians of the repeats."""

    write: str
    features: int
    row_bytes: float
    """`MEMORY USAGE`, everything in the row included."""
    server_us: float
    """The store's processor, sockets included."""
    script_us: float
    wall_us: float


class PublishingReport(Report[StreamRow], frozen=True):
    """`publishing.json`."""

    writes: list[WriteRow]


def throughput_table(rows: Sequence[StreamRow], baseline: str) -> Table:
    """One line per workload and tag, with its ratio to the baseline's."""
    speeds = {row.workload: row.events_per_s for row in rows if row.system == baseline}
    lines = [
        [
            *(row.workload, row.system, f"{row.events_per_s:,.0f}", f"{row.min:,.0f} - {row.max:,.0f}"),
            *(f"{row.events_per_s / speeds[row.workload]:.2f}", f"{row.events:,}"),
        ]
        for row in rows
    ]
    return Table(["workload", "publish", "events/s (median)", "min - max", "x each", "events counted"], lines, 2)


def writes_table(rows: Sequence[WriteRow]) -> Table:
    """One line per number of features and kind of write."""
    header = ["write", "features", "bytes/row", "server us/write", "script us/write", "wall us/write"]
    return Table(
        header,
        [
            [row.write, str(row.features), f"{row.row_bytes:,.0f}"]
            + [f"{each:.1f}" for each in (row.server_us, row.script_us, row.wall_us)]
            for row in rows
        ],
    )
