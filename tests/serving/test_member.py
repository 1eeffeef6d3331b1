"""What a worker's consumer says of its partitions: lag that is known, and none of partitions that moved away."""

import pytest
from confluent_kafka import OFFSET_INVALID, TopicPartition
from prometheus_client import REGISTRY

from forebay.serving.worker.member import Member
from forebay.serving.worker.settings import WorkerSettings

TOPIC = "lag.of.a.member"


class Client:
    """A consumer of two partitions whose positions and ends are what the test says."""

    def __init__(self):
        self.positions, self.ends = {0: OFFSET_INVALID, 1: OFFSET_INVALID}, {0: -1001, 1: -1001}

    def subscribe(self, topics, on_assign, on_revoke):
        self.assign, self.revoke = (lambda at: on_assign(self, of(at))), (lambda at: on_revoke(self, of(at)))

    def assignment(self):
        return of(self.positions)

    def position(self, partitions):
        return [TopicPartition(TOPIC, each.partition, self.positions[each.partition]) for each in partitions]

    def get_watermark_offsets(self, partition, cached):
        assert cached  # nothing is asked of the brokers for it
        return 0, self.ends[partition.partition]


def of(partitions):
    return [TopicPartition(TOPIC, each) for each in partitions]


@pytest.fixture
def client(monkeypatch):
    # Feast sets it when some of its modules are imported; the library then warns of removals, here an error.
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    return Client()


@pytest.fixture
def member(client):
    made = Member(WorkerSettings("broker:1", TOPIC, "group"), lambda _: None, lambda _: None, lambda _: client)
    made.join()
    client.assign([0, 1])
    return made


def lags(member):
    member.report_lag()
    (family,) = (each for each in REGISTRY.collect() if each.name == "forebay_lag_records")
    return {int(each.labels["partition"]): each.value for each in family.samples if each.labels["topic"] == TOPIC}


def test_lag_that_is_not_known_is_not_shown_as_0(member, client):
    assert lags(member) == {}
    client.positions[0] = 4
    assert lags(member) == {}
    client.ends[0] = 7
    assert lags(member) == {0: 3}


def test_a_position_past_the_last_marker_is_no_lag(member, client):
    client.positions, client.ends = {0: 7, 1: 8}, {0: 7, 1: 7}
    assert lags(member) == {0: 0, 1: 0}


def test_of_a_partition_that_moved_away_nothing_is_shown(member, client):
    client.positions, client.ends = {0: 4, 1: 5}, {0: 7, 1: 7}
    assert lags(member) == {0: 3, 1: 2}
    client.positions = {0: 4}
    client.revoke([1])
    assert lags(member) == {0: 3}
