"""Prometheus metrics of batches that form while the one before is scored."""

from __future__ import annotations

from forebay.pipelines.adapters.harmless import Gauge, Histogram

BATCH_ENTITIES = Histogram(
    "forebay_http_batch_entities",
    "Entities gathered into one batch.",
    buckets=tuple(2**power for power in range(11)),
)
QUEUED_ENTITIES = Gauge("forebay_http_queued_entities", "Entities waiting for a batch in flight.")
