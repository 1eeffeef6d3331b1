"""Prometheus metrics of the endpoint."""

from __future__ import annotations

from forebay.pipelines.adapters.harmless import Counter, Histogram

REQUESTS = Counter("forebay_http_requests_total", "Requests answered.", ["route", "status"])
REQUEST_SECONDS = Histogram(
    "forebay_http_request_seconds",
    "From a request's head to its answer.",
    ["route"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
