"""The lag of the processor: records that the topics hold and the store does not contain."""

import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.adapters.progress_reader import ViewTopic
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.store.keys import progress_field, progress_key
from forebay.pipelines.contract.store.progress import Progress, encode_progress
from forebay.watch import lag
from forebay.watch.lag import ProcessorLag
from tests.serving.endpoint import PLAN, VIEW

INCARNATION = Incarnation("payments", "id", 2)


class Ends:
    """A consumer of a topic of two partitions, which ends at these offsets."""

    def __init__(self, *ends):
        self._ends = ends

    def get_watermark_offsets(self, place, timeout):
        return 0, self._ends[place.partition]

    def close(self):
        """Has nothing to end."""


@pytest.fixture
def missing(monkeypatch):
    """The lag, by the partitions' ends and the offsets that the view contains."""

    def records(ends, contained):
        store = MemoryStore()
        for partition, offset in enumerate(contained):
            stored = {progress_field(VIEW): encode_progress(Progress(INCARNATION, offset))}
            store.write_hash(progress_key(PLAN.project, "payments", partition), stored)
        monkeypatch.setattr(lag, "Consumer", lambda _: Ends(*ends))
        monkeypatch.setattr(lag, "RedisStore", lambda _: store)
        monkeypatch.setattr(lag, "Topics", lambda _: None)
        monkeypatch.setattr(lag, "online_views", lambda *_: [ViewTopic(VIEW, "payments", INCARNATION)])
        measured = ProcessorLag(PLAN, "127.0.0.1:1", "127.0.0.1:1")
        try:
            return measured.records()["payments"]
        finally:
            measured.close()

    return records


def test_it_is_what_the_view_does_not_contain(missing):
    assert missing([10, 4], [9, 0]) == 3
    assert missing([10, 4], [9, 3]) == 0


def test_a_partition_that_is_further_than_the_brokers_told_hides_no_lag_of_another(missing):
    assert missing([8, 4], [9, 1]) == 2
