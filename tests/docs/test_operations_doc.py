"""The operations guide names metrics that exist; the reference has all of them."""

import re

from forebay.reference.page import page
from tests.support.payments import ROOT


def test_every_metric_to_watch_exists():
    text = (ROOT / "docs" / "operations.md").read_text().partition("## Metrics")[2]
    named = set(re.findall(r"`(forebay_\w+)`", text))
    assert len(named) > 10
    assert {name for name in named if f"| `{name}` |" not in page()} == set()
