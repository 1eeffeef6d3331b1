"""The operations guide names every metric, and no other."""

import re

from prometheus_client import REGISTRY

import pipelines.adapters.metrics
import serving.http.metrics
import serving.observe.metrics
from tests.support.payments import ROOT

MODULES = (pipelines.adapters.metrics, serving.observe.metrics, serving.http.metrics)


def test_every_metric_is_documented_and_none_is_invented():
    assert all(MODULES)
    exposed = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in REGISTRY.collect()
        if family.name.startswith("forebay_")
    }
    text = (ROOT / "docs" / "operations.md").read_text().partition("## Metrics")[2]
    assert set(re.findall(r"`(forebay_\w+)`", text)) == exposed
