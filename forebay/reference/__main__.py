"""`python -m forebay.reference reference | architecture`: writes a page of the docs; tests say when one is stale."""

from __future__ import annotations

import sys

from forebay.reference import architecture, page

PAGES = {"reference": page.page, "architecture": architecture.page}

print(PAGES[sys.argv[1]](), end="")
