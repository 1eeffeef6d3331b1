"""Makes the list of decisions: number, title, date and status, read from the decisions themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"

_TOP = re.compile(r"# (?P<number>\d+)\. (?P<title>.+)\n\nDate: (?P<date>\d{4}-\d\d-\d\d)\. Status: (?P<status>.+)\n")

_HEAD = """\
# Decisions

Made from the decisions by `make reference`; do not edit it. Each page states what was decided, why, and what it costs.

| | decision | date | status |
| --- | --- | --- | --- |
"""


class Decision(NamedTuple):
    """The first two lines of a decision."""

    file: str
    number: int
    title: str
    date: str
    status: str


def page() -> str:
    """Returns the whole page."""
    return _HEAD + "".join(
        f"| {each.number} | [{each.title}]({each.file}) | {each.date} | {each.status} |\n" for each in decisions()
    )


def decisions() -> Iterator[Decision]:
    """Reads all decisions, in the order of their numbers.

    Raises:
        ValueError: a file does not begin with its number and title, a blank line, and its date and status.
    """
    for path in sorted(FOLDER.glob("[0-9]*.md")):
        top = _TOP.match(path.read_text())
        if top is None or int(top["number"]) != int(path.name[:4]):
            raise ValueError(
                f"{path.name} must begin with `# <its number>. <title>`, a blank line, and "
                "`Date: <year-month-day>. Status: <status>.`"
            )
        yield Decision(path.name, int(top["number"]), top["title"], top["date"], top["status"].rstrip("."))
