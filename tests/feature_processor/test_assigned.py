"""A batch is tried until it is done, on a store that is known to hold what it acknowledged."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from forebay.pipelines.adapters import metrics
from forebay.pipelines.errors import ForebayError, ProgressMismatch, StoreRolledBack, StoreUnavailable
from forebay.pipelines.feature_processor.membership.assigned import AssignedTopic
from forebay.pipelines.feature_processor.membership.record_batch import RecordBatch


class Walk:
    """Partition 0 of a topic, and a store whose connections break when the test says so."""

    topic = "payments"

    def __init__(self):
        self.connections_lost, self.calls, self.errors, self.fallen_back = 0, [], [], False
        self.next_offsets = {}

    def assign(self, partitions):
        self.calls.append("assign")
        self.next_offsets = dict(partitions)

    def begin(self):
        self.calls.append("begin")

    def process(self, batches, all_sent, ends):
        self.calls.append("process")
        if self.errors:
            raise self.errors.pop(0)

    def forget_rows(self):
        self.calls.append("forget rows")

    def has_fallen_back(self):
        self.calls.append("compare")
        return self.fallen_back

    def publish_again(self):
        self.calls.append("publish again")


class Group:
    """The consumer group: nothing is read but what the test hands over."""

    stopping, epoch = False, 1

    def __init__(self):
        self.released, self.paused, self.seeks, self.errors = [], [], 0, []

    def release(self, batch):
        self.released.append(batch.number)

    async def pause(self, seconds):
        self.paused.append(seconds)

    async def read_again(self):
        self.seeks += 1

    async def give_up(self, error):
        self.errors.append(error)


COMPARED = ["forget rows", "compare", "publish again"]
BATCH = RecordBatch(epoch=1, number=7, records={}, ends={0: 5})


@pytest.fixture
def group():
    return Group()


@pytest.fixture
def topic(group):
    """A topic that has just been assigned."""
    made = AssignedTopic(Walk(), group)
    asyncio.run(made.assign({0: 0}))
    assert asyncio.run(made.begin(lambda: True))
    made.start()
    made.walk.calls.clear()
    yield made
    made.unwatch()


def process(topic, batch=BATCH):
    asyncio.run(topic.process(batch))
    return topic.walk.calls


def test_a_batch_is_done_and_released_once_it_is_processed(topic, group):
    assert process(topic) == ["process"]
    assert (topic.done, group.released) == ({0: 5}, [7])


def test_metrics_of_partitions_that_moved_away_are_gone_with_the_next_assignment(topic, monkeypatch):
    # Feast sets it when some of its modules are imported; the library then warns of removals, here an error.
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)

    def shown(gauge):
        (family,) = (each for each in REGISTRY.collect() if each.name == gauge.declared().name)
        return {each.labels["partition"] for each in family.samples if each.labels["topic"] == topic.walk.topic}

    gauges = (metrics.LAG_RECORDS, metrics.WATERMARK_SECONDS)
    for gauge in gauges:
        for partition in (0, 1):
            gauge.labels(topic.walk.topic, partition).set(7)
    asyncio.run(topic.assign({1: 0}))
    assert [shown(gauge) for gauge in gauges] == [{"1"}] * 2


def test_an_unreachable_store_delays_a_batch_and_is_compared_before_the_next_attempt(topic, group):
    topic.walk.errors = [StoreUnavailable("away")] * 2
    topic.walk.connections_lost = 1
    assert process(topic) == [*COMPARED, "process", "process", "process"]
    assert group.paused == [0.05, 0.1]
    assert topic.done == {0: 5}


def test_a_connection_that_breaks_while_it_is_compared_leaves_the_store_in_doubt(topic):
    def breaks():
        topic.walk.connections_lost = 2

    topic.walk.connections_lost, topic.walk.forget_rows = 1, breaks
    process(topic)
    assert topic.trust.in_doubt


@pytest.mark.parametrize("found", ["by comparison", "by a row"])
def test_a_store_that_has_fallen_back_is_read_again_from_its_progress(topic, group, found):
    if found == "by a row":
        topic.walk.errors = [StoreRolledBack("a row")]
    else:
        topic.walk.connections_lost, topic.walk.fallen_back = 1, True
    process(topic)
    assert (group.seeks, topic.done, group.released) == (1, {}, [7])
    assert topic.trust.in_doubt is (found == "by comparison")


def test_what_does_not_pass_ends_the_process_and_says_where_it_was(topic, group):
    topic.walk.errors = [ProgressMismatch("made anew")]
    process(topic)
    topic.walk.errors = [ZeroDivisionError("a bug")]
    process(topic)
    mismatch, unexpected = group.errors
    assert str(mismatch) == "made anew"
    assert isinstance(unexpected, ForebayError)
    assert "an unexpected error on payments" in str(unexpected)
    assert topic.done == {}


@pytest.mark.parametrize("stale", [BATCH._replace(epoch=0), BATCH._replace(ends={0: 5, 1: 9})])
def test_a_batch_of_an_earlier_epoch_or_of_a_partition_taken_away_is_dropped(topic, group, stale):
    assert process(topic, stale) == []
    assert (topic.done, group.released) == ({}, [7])


def test_a_store_that_was_away_since_progress_was_read_is_read_again_before_anything_is_written(topic):
    asyncio.run(topic.assign({0: 0}))
    topic.walk.connections_lost = 1
    with pytest.raises(StoreUnavailable, match="since its progress was read"):
        asyncio.run(topic.begin(lambda: True))
    assert "begin" not in topic.walk.calls


def test_where_no_batch_comes_the_store_is_compared_all_the_same(topic):
    asyncio.run(topic.check_store())
    assert topic.walk.calls == []
    topic.walk.connections_lost = 1
    asyncio.run(topic.check_store())
    assert topic.walk.calls == COMPARED
    assert topic.trusted


def test_what_was_never_read_is_not_in_doubt():
    made = AssignedTopic(Walk(), Group())
    made.walk.connections_lost = 1
    asyncio.run(made.check_store())
    made.unwatch()
    assert (made.walk.calls, made.trusted) == ([], False)


def test_what_was_done_before_an_assignment_is_not_committed_again(topic):
    process(topic)
    asyncio.run(topic.assign({0: 3}))
    assert (dict(topic.start()), topic.done) == ({0: 3}, {})
