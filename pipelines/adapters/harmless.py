"""Metrics whose failure ends nothing: a batch that is right must not be given up because it could not be counted.

An update can fail: in Prometheus' mode of several processes every one is written to a file, on a disk that may be full.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import prometheus_client
import structlog

log = structlog.get_logger("forebay.metrics")

REPEATED_AFTER_S = 60.0
"""That metrics fail is one line in this time."""


class Declared(NamedTuple):
    """What a metric is, for the reference."""

    name: str
    kind: str
    """counter, gauge or histogram."""
    labels: tuple[str, ...]
    documentation: str


class Harmless:
    """A metric, or one of its children by labels, whose errors are logged and not raised."""

    _logged_s = float("-inf")

    def __init__(self, metric: Any) -> None:
        """Args:
        metric: of prometheus_client; None: what could not be had, and is not updated.
        """
        self._metric = metric

    def declared(self) -> Declared:
        """Describes the metric for the reference."""
        (family,) = self._metric.describe()
        suffix = "_total" if family.type == "counter" else ""
        return Declared(family.name + suffix, family.type, self._metric._labelnames, family.documentation)

    def labels(self, *values: Any) -> Harmless:
        """Returns the metric's child with these label values."""
        return Harmless(self._do("labels", *values))

    def inc(self, amount: float = 1) -> None:
        """Adds to a counter."""
        self._do("inc", amount)

    def set(self, value: float) -> None:
        """Sets a gauge."""
        self._do("set", value)

    def observe(self, value: float) -> None:
        """Adds to a histogram."""
        self._do("observe", value)

    def clear(self) -> None:
        """Removes all children."""
        self._do("clear")

    def keep(self, topic: str, partitions: Collection[str]) -> None:
        """Removes the children of a topic's other partitions; labels are topic and partition."""
        for family in self._do("collect") or ():
            for sample in family.samples:
                if sample.labels["topic"] == topic and sample.labels["partition"] not in partitions:
                    self._do("remove", topic, sample.labels["partition"])

    @contextmanager
    def time(self) -> Iterator[None]:
        """Observes how long the block takes, in seconds, however it ends."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.observe(time.perf_counter() - started)

    def _do(self, name: str, *args: Any) -> Any:
        try:
            return None if self._metric is None else getattr(self._metric, name)(*args)
        except Exception:
            if time.monotonic() >= Harmless._logged_s + REPEATED_AFTER_S:
                Harmless._logged_s = time.monotonic()
                log.error("metric not updated", metric=str(self._metric), what=name, exc_info=True)
            return None


def Counter(name: str, documentation: str, labelnames: Sequence[str] = ()) -> Harmless:  # noqa: N802 -- as the library's
    """Makes a counter as prometheus_client does."""
    return Harmless(prometheus_client.Counter(name, documentation, labelnames))


def Gauge(name: str, documentation: str, labelnames: Sequence[str] = ()) -> Harmless:  # noqa: N802 -- as the library's
    """Makes a gauge as prometheus_client does."""
    return Harmless(prometheus_client.Gauge(name, documentation, labelnames))


def Histogram(  # noqa: N802 -- as the library's
    name: str, documentation: str, labelnames: Sequence[str] = (), *, buckets: Sequence[float]
) -> Harmless:
    """Makes a histogram as prometheus_client does."""
    return Harmless(prometheus_client.Histogram(name, documentation, labelnames, buckets=buckets))
