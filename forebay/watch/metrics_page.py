"""Reads a process's Prometheus page."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

Page = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""(sample name, sorted labels) -> value."""


def scrape(url: str) -> Page:
    """Returns the samples of a page. Raises `OSError` if it can't be read."""
    with urllib.request.urlopen(url, timeout=1.0) as response:
        text = response.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(page: Page, name: str) -> float:
    """Sums a counter or gauge over all its labels."""
    return sum(value for (sample, _), value in page.items() if sample == name)


def bucket_counts(page: Page, name: str) -> dict[float, float]:
    """Sums a histogram over all its labels: upper bound -> observations at or below it."""
    counts: dict[float, float] = {}
    for (sample, labels), value in page.items():
        if sample == f"{name}_bucket":
            bound = float(dict(labels)["le"])
            counts[bound] = counts.get(bound, 0.0) + value
    return counts


def quantile(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """Estimates a quantile of what was observed between two readings, interpolated in its bucket as Prometheus does.

    NaN if nothing was observed; the last finite bound if it lies beyond.
    """
    bounds = sorted(after)
    counts = [after[bound] - before.get(bound, 0.0) for bound in bounds]
    if not counts or not counts[-1]:
        return float("nan")
    wanted = share * counts[-1]
    low, below = 0.0, 0.0
    for bound, count in zip(bounds, counts, strict=True):
        if count >= wanted and count > below:
            return low if bound == float("inf") else low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low
