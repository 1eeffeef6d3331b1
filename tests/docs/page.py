"""Reads examples and tables out of pages of the documentation: those between `<!-- name -->` and `<!-- /name -->`."""

from __future__ import annotations

import re
import textwrap

from tests.support.payments import ROOT


def example(page: str, name: str) -> str:
    """The indented text of an example, without its indent.

    Raises:
        AssertionError: the page has no such example.
    """
    return textwrap.dedent(_marked(page, name)).strip("\n") + "\n"


def table(page: str, name: str) -> list[dict[str, str]]:
    """The rows of a table, each by the names of its columns.

    Raises:
        AssertionError: the page has no such table.
    """
    lines = [line for line in _marked(page, name).splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [dict(zip(header, row, strict=True)) for row in rows]


def _marked(page: str, name: str) -> str:
    text = (ROOT / "docs" / page).read_text()
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)
    assert found is not None, f"docs/{page} has no example {name!r}"
    return found[1]
