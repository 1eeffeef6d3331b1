"""What the layout benchmark reports."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.shared.report import Report, Table
from forebay.pipelines.contract.plan.durations import duration_text


class LayoutRow(msgspec.Struct, frozen=True):
    """One layout, filled with so many tiles. Times are per row, in microseconds, medians of the repeats."""

    layout: str
    tiles: int
    """Of the window; a row keeps one more."""
    row_bytes: float
    """`MEMORY USAGE`, the fields Feast reads included."""
    stay_server_us: float
    """An update inside the open tile: the store's processor, sockets included."""
    stay_commands_us: float
    """The store's own count of its script calls."""
    stay_wall_us: float
    close_server_us: float
    """An update that closes a tile."""
    close_commands_us: float
    close_wall_us: float
    read_server_us: float
    """Reading a row's whole state."""
    read_wall_us: float


class ExpiryRow(msgspec.Struct, frozen=True):
    """Rows of so many features, whose fields expire or do not."""

    features: int
    expires: bool
    row_bytes: float
    """`MEMORY USAGE`."""
    used_bytes: float
    """Growth of `used_memory_dataset`, per row: it holds the store's own record of what expires when, too."""
    write_server_us: float
    write_commands_us: float
    write_wall_us: float


class HorizonRow(msgspec.Struct, frozen=True):
    """Rows with an event in every tile that a scoring horizon keeps. Times as of `LayoutRow`."""

    horizon_ms: int
    row_bytes: float
    stay_server_us: float
    stay_commands_us: float
    stay_wall_us: float
    close_server_us: float
    close_commands_us: float
    close_wall_us: float
    read_server_us: float
    read_wall_us: float


class LayoutReport(Report[LayoutRow], frozen=True):
    """`layout.json`."""

    expiry: list[ExpiryRow]
    horizon: list[HorizonRow]


def layout_table(rows: Sequence[LayoutRow]) -> Table:
    """One line per number of tiles and layout."""
    header = [
        *("layout", "tiles", "bytes/row", "stay: server us", "wall us", "close: server us", "wall us"),
        *("read: server us", "wall us"),
    ]
    lines = []
    for row in rows:
        stay, close = (row.stay_server_us, row.stay_wall_us), (row.close_server_us, row.close_wall_us)
        times = [f"{each:.1f}" for each in (*stay, *close, row.read_server_us, row.read_wall_us)]
        lines.append([row.layout, f"{row.tiles:,}", f"{row.row_bytes:,.0f}", *times])
    return Table(header, lines)


def horizon_table(rows: Sequence[HorizonRow]) -> Table:
    """One line per scoring horizon."""
    header = [
        *("scoring_horizon", "bytes/row", "stay: server us", "wall us", "close: server us", "wall us"),
        *("read: server us", "wall us"),
    ]
    lines = []
    for row in rows:
        stay, close = (row.stay_server_us, row.stay_wall_us), (row.close_server_us, row.close_wall_us)
        times = [f"{each:.1f}" for each in (*stay, *close, row.read_server_us, row.read_wall_us)]
        lines.append([duration_text(row.horizon_ms), f"{row.row_bytes:,.0f}", *times])
    return Table(header, lines)


def expiry_table(rows: Sequence[ExpiryRow]) -> Table:
    """One line per number of features, with and without."""
    header = [
        "fields",
        "features",
        "bytes/row",
        "used bytes/row",
        "server us/write",
        "script us/write",
        "wall us/write",
    ]
    lines = []
    for row in rows:
        command = "HSETEX: expire" if row.expires else "HSET: stay"
        times = [f"{each:.1f}" for each in (row.write_server_us, row.write_commands_us, row.write_wall_us)]
        lines.append([command, str(row.features), f"{row.row_bytes:,.0f}", f"{row.used_bytes:,.0f}", *times])
    return Table(header, lines)
