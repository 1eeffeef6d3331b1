"""The operations guide names every metric, and no other."""

import re

from prometheus_client import REGISTRY

import forebay.pipelines.adapters.metrics
import forebay.serving.http.metrics
import forebay.serving.observe.batches
import forebay.serving.observe.metrics
from tests.support.payments import ROOT

MODULES = (
    forebay.pipelines.adapters.metrics,
    forebay.serving.observe.batches,
    forebay.serving.observe.metrics,
    forebay.serving.http.metrics,
)


def test_every_metric_is_documented_and_none_is_invented():
    assert all(MODULES)
    exposed = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in REGISTRY.collect()
        if family.name.startswith("forebay_")
    }
    text = (ROOT / "docs" / "operations.md").read_text().partition("## Metrics")[2]
    assert set(re.findall(r"`(forebay_\w+)`", text)) == exposed
