"""What the scaling benchmark reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.shared.plot import Panel, save_panels
from benchmarks.shared.report import Table

MEGABYTE = 1_000_000


class ScalingRow(msgspec.Struct, frozen=True):
    """One point of one curve."""

    curve: str
    at: int
    """Processes, entities, or tiles of the window."""
    events_per_s: float
    events: int
    """Counted."""
    entities: int
    """Rows in the store afterwards."""
    store_bytes: float
    """Per entity."""
    rss_bytes: int
    """Highest of the processor; of all together where there are more."""


_AXES = {
    "processes": "processes",
    "entities": "entities",
    "tiles": "tiles of the window",
}


def scaling_table(rows: Sequence[ScalingRow]) -> Table:
    """One line per point."""
    header = ["curve", "at", "events/s", "store bytes/entity", "entities", "process MB", "events counted"]
    lines = [
        [
            *(row.curve, f"{row.at:,}", f"{row.events_per_s:,.0f}", f"{row.store_bytes:,.0f}"),
            *(f"{row.entities:,}", f"{row.rss_bytes / MEGABYTE:,.0f}", f"{row.events:,}"),
        ]
        for row in rows
    ]
    return Table(header, lines)


def plot_curves(rows: Sequence[ScalingRow], folder: Path) -> None:
    """One picture per curve: `scaling-<curve>.svg`."""
    for curve, axis in _AXES.items():
        points = [row for row in rows if row.curve == curve]
        at = [row.at for row in points]
        panels = [
            Panel("throughput", axis, "events/s", at, {"": [row.events_per_s for row in points]}),
            Panel("store", axis, "bytes per entity", at, {"": [row.store_bytes for row in points]}),
            Panel("processor", axis, "resident memory, MB", at, {"": [row.rss_bytes / MEGABYTE for row in points]}),
        ]
        save_panels(folder / f"scaling-{curve}.svg", panels, logarithmic=curve != "processes")
