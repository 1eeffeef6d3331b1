"""What the soak benchmark reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.shared.plot import Panel, save_panels
from benchmarks.shared.report import Report, Table
from benchmarks.soak.trend import trend_of

_MEGABYTE = 1e6
_SERIES = {
    # What it is: (field of a sample, its scale, growth over the half that still counts as flat).
    "processor, resident MB": ("rss_bytes", _MEGABYTE, 0.05),
    "store, used MB": ("store_bytes", _MEGABYTE, 0.05),
    "freshness p50, ms": ("p50_ms", 1.0, 0.25),
    "freshness p99, ms": ("p99_ms", 1.0, 0.5),
}


class SoakSample(msgspec.Struct, frozen=True):
    """One interval."""

    at_s: float
    """Seconds since the stream began, at the interval's end."""
    rss_bytes: int
    """Of the processor."""
    store_bytes: int
    """`used_memory`."""
    keys: int
    """In the store."""
    batches_per_s: float
    p50_ms: float
    """Of the probes that were due in the interval."""
    p99_ms: float


class SoakRow(msgspec.Struct, frozen=True):
    """The trend of one figure over the second half."""

    figure: str
    mean: float
    slope_per_hour: float
    growth: float
    """Over the half, as a share of the mean."""
    allowed: float
    """The most that counts as flat."""
    flat: bool


class SoakReport(Report[SoakRow], frozen=True):
    """`soak.json`."""

    events_per_s: int
    event_speed: float
    samples: list[SoakSample]


def soak_rows(samples: Sequence[SoakSample]) -> list[SoakRow]:
    """The trends. Memory that shrinks, and events that arrive sooner, are flat too."""
    rows = []
    for figure, (field, scale, allowed) in _SERIES.items():
        values = [getattr(sample, field) / scale for sample in samples]
        trend = trend_of([sample.at_s for sample in samples], values)
        rows.append(SoakRow(figure, *trend, allowed, trend.growth <= allowed))
    return rows


def soak_table(rows: Sequence[SoakRow]) -> Table:
    """One line per figure."""
    header = ["second half", "mean", "slope per hour", "growth over the half", "allowed", "flat"]
    lines = [
        [
            *(row.figure, f"{row.mean:,.1f}", f"{row.slope_per_hour:+,.2f}"),
            *(f"{row.growth:+.1%}", f"{row.allowed:.0%}", "yes" if row.flat else "no"),
        ]
        for row in rows
    ]
    return Table(header, lines)


def plot_soak(samples: Sequence[SoakSample], folder: Path) -> None:
    """Draws `soak.svg`."""
    minutes = [sample.at_s / 60 for sample in samples]
    memory = {
        "processor, resident": [sample.rss_bytes / _MEGABYTE for sample in samples],
        "store, used": [sample.store_bytes / _MEGABYTE for sample in samples],
    }
    times = {"p50": [sample.p50_ms for sample in samples], "p99": [sample.p99_ms for sample in samples]}
    batches = {"": [sample.batches_per_s for sample in samples]}
    panels = [
        Panel("memory", "minutes", "MB", minutes, memory),
        Panel("freshness", "minutes", "ms", minutes, times),
        Panel("batches", "minutes", "batches/s", minutes, batches),
    ]
    save_panels(folder / "soak.svg", panels)
