"""Results as files: JSON for programs, and the tables of the documents between their markers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import msgspec

from benchmarks.shared.machine import Machine
from forebay.pipelines.errors import ForebayError

_ROOT = Path(__file__).parents[2]
RESULTS = _ROOT / "benchmarks" / "results"
DOCUMENT = _ROOT / "docs" / "benchmarks.md"
PLOTS = _ROOT / "docs" / "plots"

Row = TypeVar("Row", bound=msgspec.Struct)


class ReportError(ForebayError):
    """A result can't be written where it belongs."""


class Report(msgspec.Struct, Generic[Row], frozen=True):
    """`<name>.json`: what was measured, and on what."""

    machine: Machine
    rows: list[Row]


class Table(NamedTuple):
    """A table for people."""

    header: list[str]
    rows: list[list[str]]
    """Cells."""
    text_columns: int = 1
    """How many columns, from the left, hold text; the others hold numbers."""


def as_json(report: msgspec.Struct) -> str:
    """The report, indented, with a line break at its end."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def write_results(name: str, report: msgspec.Struct, results: Path = RESULTS) -> None:
    """Writes `<name>.json`."""
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{name}.json").write_text(as_json(report))


def write_table(name: str, table: Table, machine: Machine, document: Path = DOCUMENT) -> None:
    """Writes the table between the document's markers `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ReportError: the document does not have the markers.
    """
    text = document.read_text() if document.exists() else ""
    try:
        document.write_text(between_markers(text, name, _section(table, machine)))
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


def _section(table: Table, machine: Machine) -> str:
    rule = [":--" if at < table.text_columns else "--:" for at in range(len(table.header))]
    lines = ["| " + " | ".join(cells) + " |" for cells in (table.header, rule, *table.rows)]
    versions = ", ".join(f"{package} {number}" for package, number in machine.versions.items())
    where = f"{machine.cpu}, {machine.cores} cores, {machine.system}; Python {machine.python}, {versions}."
    return "\n".join(["", *lines, "", where, ""]) + "\n"
