"""A metric that can't be updated ends nothing; one of a partition that moved away says nothing."""

import time
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from forebay.pipelines.adapters import harmless, metrics
from forebay.pipelines.adapters.harmless import Harmless
from forebay.pipelines.adapters.memory_store import MemoryStore
from tests.feature_processor.partition import CARDS, card, progress, start
from tests.support.build import record


class Broken:
    """A metric of several processes whose disk is full."""

    def labels(self, *_):
        return self

    def inc(self, _):
        raise OSError(28, "No space left on device")

    set = observe = inc


def test_a_batch_whose_metrics_fail_is_processed_all_the_same(monkeypatch, capsys):
    later_s = time.monotonic() + harmless.REPEATED_AFTER_S
    monkeypatch.setattr(harmless, "time", SimpleNamespace(monotonic=lambda: later_s, perf_counter=time.perf_counter))
    for name in ("RECORDS", "BATCHES", "FRESHNESS_SECONDS", "WATERMARK_SECONDS", "WRITE_SECONDS", "ROWS_WRITTEN"):
        monkeypatch.setattr(metrics, name, Harmless(Broken()))
    store = MemoryStore()
    start(store, CARDS).process([record(0, card("a", 0))])
    assert progress(store) == 0
    assert capsys.readouterr().out.count("metric not updated") == 1


def test_labels_that_can_not_be_had_end_nothing():
    metrics.RECORDS.labels("one", "too many").inc()


def test_a_block_that_fails_is_measured_and_fails_all_the_same():
    with pytest.raises(ZeroDivisionError), Harmless(Broken()).labels("x").time():
        raise ZeroDivisionError


def shown(gauge, topic):
    (family,) = (each for each in REGISTRY.collect() if each.name == gauge.declared().name)
    return {each.labels["partition"]: each.value for each in family.samples if each.labels["topic"] == topic}


def test_of_partitions_that_moved_away_nothing_is_shown(monkeypatch):
    # Feast sets it when some of its modules are imported; the library then warns of removals, here an error.
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    for partition in (0, 1, 10):
        metrics.LAG_RECORDS.labels("moving", partition).set(partition)
        metrics.LAG_RECORDS.labels("staying", partition).set(partition)
    metrics.keep_partitions("moving", [1])
    assert shown(metrics.LAG_RECORDS, "moving") == {"1": 1.0}
    assert shown(metrics.LAG_RECORDS, "staying") == {"0": 0.0, "1": 1.0, "10": 10.0}
