"""Prints letters for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

from rich.console import Console

from forebay.cli.tables import add_row, new_table, print_table
from forebay.dead_letters.letter import Letter
from forebay.dead_letters.summary import Group
from forebay.pipelines.contract.kafka.recipients import Recipients

_COLUMNS = ("reason", "stage", "read from", "first letter", "count", "replayed", "written (UTC)")


def time_text(ms: int) -> str:
    """Formats a time to the second, in UTC."""
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def print_groups(groups: Sequence[Group], console: Console) -> None:
    """Prints a table per topic of letters, a row per group; positions on that topic or its source omit its name."""
    for topic, members in groupby(groups, key=lambda group: group.topic):
        table = new_table(topic, *_COLUMNS, whole=("reason", "stage", "written (UTC)"), right=("count", "replayed"))
        for each in members:
            read_from = each.partition.removeprefix(topic.rpartition(".")[0])
            texts = (each.reason, each.stage, read_from, each.first_at.removeprefix(topic))
            counts = (f"{each.count:,}", f"{each.replayed:,}")
            span = (
                f"{time_text(each.first_ms)}\n{time_text(each.last_ms)}" if each.count > 1 else time_text(each.first_ms)
            )
            add_row(table, *texts, *counts, span)
        print_table(table, console)


def printed_letter(letter: Letter, max_bytes: int) -> str:
    """Formats a letter: every header, and its payload up to the given length."""
    refused_by = letter.refused_by
    lines = [
        f"letter       {letter.at}, written {time_text(letter.written_ms)} UTC",
        f"record       {letter.refused_at or 'not known'}, of {time_text(letter.timestamp_ms)} UTC",
        f"reason       {_text(letter.reason)} ({_text(letter.text('forebay-stage'))})",
        f"error        {_text(letter.text('forebay-error')) or '-'}",
        f"refused by   {_text(_whom(refused_by)) if refused_by else 'not known'}",
        f"key          {_shown(letter.key, max_bytes)}",
        *(f"header       {_text(name)}: {_shown(value, max_bytes)}" for name, value in letter.headers),
        f"payload      {_shown(letter.value, max_bytes)}",
    ]
    return "\n".join(lines)


def _whom(recipients: Recipients) -> str:
    return f"{', '.join(recipients.each())} of {recipients.project}"


def _text(text: str) -> str:
    """Escapes what a terminal can't print."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _shown(data: bytes | None, max_bytes: int) -> str:
    """Formats bytes as text where they are UTF-8, else as hexadecimal digits; control characters are escaped."""
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
