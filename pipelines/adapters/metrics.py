"""Prometheus metrics of the streaming side, and the page that shows them."""

from __future__ import annotations

from collections.abc import Collection

from forebay.pipelines.adapters.harmless import Counter, Gauge, Histogram
from forebay.pipelines.errors import SettingsError
from forebay.pipelines.process.pages import serve_pages

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FRESHNESS_SECONDS = tuple(
    base * 10**power for power in range(-3, 2) for base in (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
)
"""Fine enough to read percentiles from: it is the number that users ask for."""

RECORDS = Counter("forebay_records_total", "Records read.", ["topic"])
BATCHES = Counter("forebay_batches_total", "Batches of records processed.", ["topic"])
DEAD_LETTERS = Counter("forebay_dead_letters_total", "Records given up, by reason.", ["topic", "reason"])
LATE_EVENTS = Counter("forebay_late_events_total", "Events too late for a view.", ["view"])
DUPLICATE_EVENTS = Counter(
    "forebay_duplicate_events_total", "Events that a view had counted before, by their ids.", ["view"]
)
DUPLICATES = Counter("forebay_routed_duplicates_total", "Routed records dropped as duplicates.", ["topic"])
ROUTED = Counter("forebay_routed_records_total", "Records re-keyed for another entity.", ["topic"])
NULL_ENTITIES = Counter("forebay_null_entity_events_total", "Events without this view's entity.", ["view"])
ROWS_WRITTEN = Counter("forebay_rows_written_total", "Entity rows written.", ["view"])
ROWS_REFUSED = Counter("forebay_rows_refused_total", "Row writes refused by the fence.", ["view"])
ROWS_EXPIRED = Counter("forebay_rows_expired_total", "Rows removed that no further event could need.", ["view"])
ROWS_FORGOTTEN = Counter("forebay_rows_forgotten_total", "Rows that began anew after `forebay forget`.", ["view"])
STORE_RETRIES = Counter("forebay_store_retries_total", "Batches tried again after a store failure.", ["topic"])
READ_SECONDS = Histogram("forebay_store_read_seconds", "Reading rows.", ["view"], buckets=_SECONDS)
WRITE_SECONDS = Histogram("forebay_store_write_seconds", "Writing rows.", ["view"], buckets=_SECONDS)
BATCH_SECONDS = Histogram("forebay_batch_seconds", "One batch, all steps.", ["topic"], buckets=_SECONDS)
FRESHNESS_SECONDS = Histogram(
    "forebay_freshness_seconds",
    "From a record's Kafka timestamp to its row in the store, for the oldest record of a batch.",
    ["topic"],
    buckets=_FRESHNESS_SECONDS,
)
WATERMARK_SECONDS = Gauge("forebay_watermark_seconds", "Highest event time processed.", ["topic", "partition"])
ASSIGNED_PARTITIONS = Gauge("forebay_assigned_partitions", "Partitions this process reads.", ["topic"])
DEFINITION_OUTDATED = Gauge(
    "forebay_definition_outdated", "1 while a newer plan's definition of the view is published.", ["view"]
)
PLAN_REFUSED = Gauge("forebay_plan_refused", "1 while this newer plan is refused.", ["plan", "reason"])
SWITCH_ERRORS = Counter("forebay_plan_switch_errors_total", "Failed attempts to take over a newer plan.", ["reason"])
LAG_RECORDS = Gauge(
    "forebay_lag_records", "Records that may be read and are not yet; absent until known.", ["topic", "partition"]
)


def keep_partitions(topic: str, partitions: Collection[int]) -> None:
    """Says how many partitions of a topic this process reads, and nothing more of those that it read before."""
    ASSIGNED_PARTITIONS.labels(topic).set(len(partitions))
    for gauge in (LAG_RECORDS, WATERMARK_SECONDS):
        gauge.keep(topic, {str(each) for each in partitions})


def serve_metrics(host: str, port: int) -> None:
    """Serves `/metrics` and `/livez` from daemon threads.

    Raises:
        SettingsError: the port is taken.
    """
    try:
        serve_pages(host, port)
    except OSError as error:
        raise SettingsError(
            f"can't serve metrics on {host}:{port}: {error.strerror}; "
            f"choose another address with --metrics-host, --metrics-port"
        ) from error
