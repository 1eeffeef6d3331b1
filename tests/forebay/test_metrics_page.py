"""Reading percentiles from two readings of a histogram."""

import math

import pytest
from prometheus_client import CollectorRegistry, Gauge, Histogram, start_http_server

from forebay.local.ports import free_port
from forebay.watch.metrics_page import bucket_counts, quantile, scrape, total

INF = float("inf")


BEFORE = {0.01: 5.0, 0.1: 5.0, 1.0: 5.0, INF: 5.0}


class TestQuantile:
    def test_it_is_interpolated_inside_its_bucket(self):
        after = {0.01: 5.0, 0.1: 15.0, 1.0: 15.0, INF: 15.0}
        assert quantile(BEFORE, after, 0.5) == pytest.approx(0.01 + 0.09 * 0.5)

    def test_what_was_there_before_does_not_count(self):
        after = {0.01: 5.0, 0.1: 5.0, 1.0: 9.0, INF: 9.0}
        assert quantile(BEFORE, after, 1.0) == 1.0

    def test_beyond_the_last_bound_the_last_bound_is_all_that_is_known(self):
        after = {0.01: 5.0, 0.1: 5.0, 1.0: 5.0, INF: 9.0}
        assert quantile(BEFORE, after, 0.5) == 1.0

    def test_nothing_observed_has_no_quantile(self):
        assert math.isnan(quantile(BEFORE, BEFORE, 0.99))


def test_a_page_is_read_over_all_labels():
    registry = CollectorRegistry()
    gauge = Gauge("parts", "Parts.", ["topic"], registry=registry)
    gauge.labels("a").set(2)
    gauge.labels("b").set(3)
    seconds = Histogram("took_seconds", "Time.", ["topic"], buckets=(0.1, 1.0), registry=registry)
    for topic, value in (("a", 0.05), ("b", 0.5), ("b", 5.0)):
        seconds.labels(topic).observe(value)
    port = free_port()
    server, thread = start_http_server(port, "127.0.0.1", registry)
    try:
        page = scrape(f"http://127.0.0.1:{port}/metrics")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert total(page, "parts") == 5
    assert bucket_counts(page, "took_seconds") == {0.1: 1, 1.0: 2, INF: 3}
