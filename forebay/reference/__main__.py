"""`python -m forebay.reference > docs/reference.md`; a test says when the file is stale."""

from __future__ import annotations

from forebay.reference.page import page

print(page(), end="")
