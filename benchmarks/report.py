"""Results as files: JSON for programs, and the tables of docs/benchmarks.md between their markers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.machine import Machine
from pipelines.errors import ForebayError

RESULTS = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BASELINE = "faust-streaming (stock)"
"""What the other systems are compared with."""


class ReportError(ForebayError):
    """A result can't be written where it belongs."""


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


class StreamReport(msgspec.Struct, frozen=True):
    """`stream.json`."""

    machine: Machine
    rows: list[StreamRow]


class LatencyReport(msgspec.Struct, frozen=True):
    """`latency.json`."""

    machine: Machine
    rows: list[LatencyRow]


def as_json(report: StreamReport | LatencyReport) -> str:
    """The report, indented, with a line break at its end."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def write_report(name: str, report: StreamReport | LatencyReport, results: Path, document: Path) -> None:
    """Writes `<name>.json`, and the table between the document's markers `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ReportError: the document does not have the markers; the JSON is written nevertheless.
    """
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{name}.json").write_text(as_json(report))
    text = document.read_text() if document.exists() else ""
    try:
        document.write_text(between_markers(text, name, _section(report)))
    except ReportError as error:
        raise ReportError(f"{document}: {error}") from error


def between_markers(text: str, name: str, content: str) -> str:
    """The text with everything between the two markers replaced.

    Raises:
        ReportError: the pair of markers does not stand in the text exactly once.
    """
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    pattern = re.compile(f"({re.escape(start)}).*?({re.escape(end)})", re.DOTALL)
    found = len(pattern.findall(text))
    if found != 1:
        raise ReportError(f"has {found} pairs of markers {start.strip()} and {end}: put one where the table belongs")
    return pattern.sub(lambda match: f"{match[1]}{content}{match[2]}", text)


def stream_table(rows: Sequence[StreamRow]) -> list[list[str]]:
    """Header and cells of the stream table."""
    baselines = {row.workload: row.events_per_s for row in rows if row.system == BASELINE}
    table = [["workload", "system", "events/s (median)", "min - max", "x stock Faust", "events counted"]]
    for row in rows:
        baseline = baselines.get(row.workload)
        ratio = f"{row.events_per_s / baseline:.1f}" if baseline else "-"
        spread = f"{row.min:,.0f} - {row.max:,.0f}"
        table.append([row.workload, row.system, f"{row.events_per_s:,.0f}", spread, ratio, f"{row.events:,}"])
    return table


def latency_table(rows: Sequence[LatencyRow]) -> list[list[str]]:
    """Header and cells of the latency table."""
    table = [["delivery", "events/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "barrier met", "events measured"]]
    for row in rows:
        times = [f"{value:.1f}" for value in (row.p50_ms, row.p90_ms, row.p99_ms, row.max_ms)]
        # Rounded down: 100 % must mean every single one.
        met = f"{int(row.barrier_met * 10_000) / 100:g} %"
        table.append([row.delivery, f"{row.rate:,}", *times, met, f"{row.events:,}"])
    return table


def table_of(report: StreamReport | LatencyReport) -> list[list[str]]:
    """Header and cells of the report's table."""
    return stream_table(report.rows) if isinstance(report, StreamReport) else latency_table(report.rows)


def _section(report: StreamReport | LatencyReport) -> str:
    machine = report.machine
    versions = ", ".join(f"{package} {number}" for package, number in machine.versions.items())
    header, *rows = table_of(report)
    rule = [":--" if at < _text_columns(report) else "--:" for at in range(len(header))]
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]
    where = f"{machine.cpu}, {machine.cores} cores, {machine.system}; Python {machine.python}, {versions}."
    return "\n".join(["", *lines, "", where, ""]) + "\n"


def _text_columns(report: StreamReport | LatencyReport) -> int:
    """How many columns, from the left, hold text."""
    return 2 if isinstance(report, StreamReport) else 1
