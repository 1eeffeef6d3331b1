"""Letters for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from forebay.dead_letters.letter import Letter
from forebay.dead_letters.summary import Group


def time_text(ms: int) -> str:
    """A time to the second, UTC."""
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def print_groups(groups: Sequence[Group], console: Console) -> None:
    """One line per group."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("topic", "reason", "stage", "read from"):
        table.add_column(name, overflow="fold")
    for name in ("count", "replayed"):
        table.add_column(name, justify="right")
    for name in ("first (UTC)", "last (UTC)", "first letter"):
        table.add_column(name, overflow="fold")
    for each in groups:
        texts = (each.topic, each.reason, each.stage, each.partition, f"{each.count:,}", f"{each.replayed:,}")
        times = (time_text(each.first_ms), time_text(each.last_ms), each.first_at)
        table.add_row(*(escape(text) for text in (*texts, *times)))
    console.print(table)


def printed_letter(letter: Letter, max_bytes: int) -> str:
    """A letter, header by header, and as much of its payload as is allowed."""
    refused_by = letter.refused_by
    lines = [
        f"letter       {letter.at}, written {time_text(letter.written_ms)} UTC",
        f"record       {letter.text('forebay-position') or 'not known'}, of {time_text(letter.timestamp_ms)} UTC",
        f"reason       {letter.reason} ({letter.text('forebay-stage')})",
        f"error        {letter.text('forebay-error') or '-'}",
        f"refused by   {', '.join(refused_by.each()) + ' of ' + refused_by.project if refused_by else 'not known'}",
        f"key          {_shown(letter.key, max_bytes)}",
        *(f"header       {name}: {_shown(value, max_bytes)}" for name, value in letter.headers),
        f"payload      {_shown(letter.value, max_bytes)}",
    ]
    return "\n".join(lines)


def _shown(data: bytes | None, max_bytes: int) -> str:
    """Bytes as text where they are some, else as hexadecimal digits; no control characters reach a terminal."""
    if data is None:
        return "null"
    part = data[:max_bytes]
    more = f" ... ({len(data):,} bytes in all)" if len(data) > max_bytes else ""
    try:
        text = part.decode()
    except UnicodeDecodeError as error:
        # The cut may have fallen inside of a character.
        text = part[: error.start].decode() if more and error.start > len(part) - 4 else ""
    return (text if text.isprintable() and (text or not data) else "hex " + part.hex(" ")) + more
