"""`python -m forebay.reference PAGE` prints a page of the docs: `reference`, `architecture` or `decisions`."""

from __future__ import annotations

import sys

from forebay.reference import architecture, decisions, page

PAGES = {"reference": page.page, "architecture": architecture.page, "decisions": decisions.page}

print(PAGES[sys.argv[1]](), end="")
