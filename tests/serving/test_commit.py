"""A transaction whose brokers do not answer, one that the library has lost track of, and commits without any."""

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from forebay.serving.worker import commit as module
from forebay.serving.worker.commit import AtLeastOnceCommitter, TransactionalCommitter, TransactionLost, WorkerFailed
from forebay.serving.worker.settings import WorkerSettings

SETTINGS = WorkerSettings(brokers="127.0.0.1:1", topic="payments", group="shop.score")


def failure(code, text, retriable=True):
    return KafkaException(KafkaError(code, text, retriable=retriable))


AWAY = failure(KafkaError._TIMED_OUT, "no answer")
CONFLICT = failure(KafkaError._CONFLICT, "Conflicting commit_transaction API call is already in progress")


class Producer:
    """Fails with what it is told, call by call."""

    failures = ()

    def __init__(self, _config):
        self.calls = []

    def _call(self, name):
        self.calls.append(name)
        if Producer.failures and Producer.failures[0][0] == name:
            raise Producer.failures.pop(0)[1]

    def __getattr__(self, name):
        return lambda *_, **__: self._call(name)


@pytest.fixture
def producer(monkeypatch):
    monkeypatch.setattr(module, "Producer", Producer)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    Producer.failures = []
    return Producer


def test_brokers_that_do_not_answer_are_asked_again(producer):
    producer.failures = [("commit_transaction", AWAY)] * 3
    committer = TransactionalCommitter(SETTINGS, lambda: False)
    assert committer.commit([], [], None)
    assert committer._producer.calls.count("commit_transaction") == 4


def test_a_call_that_the_library_has_lost_track_of_is_not_made_for_ever(producer):
    """It would say so for ever: the worker joins again, from the last commit."""
    producer.failures = [
        ("commit_transaction", AWAY),
        ("commit_transaction", CONFLICT),
        ("abort_transaction", CONFLICT),
    ]
    committer = TransactionalCommitter(SETTINGS, lambda: False)
    with pytest.raises(TransactionLost, match="Conflicting"):
        committer.commit([], [], None)


def test_what_can_be_aborted_is_read_again(producer):
    producer.failures = [("commit_transaction", CONFLICT)]
    committer = TransactionalCommitter(SETTINGS, lambda: False)
    assert not committer.commit([], [], None)
    assert committer._producer.calls[-1] == "abort_transaction"


def test_a_producer_that_was_fenced_says_so_even_where_it_can_not_abort(producer):
    """The failed commit is then the call that the library has lost track of."""
    producer.failures = [
        ("commit_transaction", failure(KafkaError._FENCED, "fenced", retriable=False)),
        ("abort_transaction", CONFLICT),
    ]
    committer = TransactionalCommitter(msgspec.structs.replace(SETTINGS, instance="a"), lambda: False)
    with pytest.raises(WorkerFailed, match="another worker has this instance's name: fenced"):
        committer.commit([], [], None)


class Delivers(Producer):
    """Whatever is queued arrives."""

    def flush(self, _timeout):
        return 0

    def __len__(self):
        return 0


class Member:
    """A consumer with partition 1 only, and what it commits."""

    def __init__(self):
        self.committed = []

    def assignment(self):
        return [TopicPartition("payments", 1)]

    def commit(self, offsets, asynchronous):
        assert not asynchronous
        self.committed.append([(each.partition, each.offset) for each in offsets])


@pytest.mark.parametrize(("read", "committed"), [([0, 1], [[(1, 6)]]), ([0], [])])
def test_at_least_once_commits_only_partitions_that_are_still_assigned(monkeypatch, read, committed):
    """A rebalance came amid the batch: the broker would let this worker take back the commits of the next owner."""
    monkeypatch.setattr(module, "Producer", Delivers)
    consumer = Member()
    committer = AtLeastOnceCommitter(SETTINGS, consumer, lambda: False)
    assert committer.commit([], [TopicPartition("payments", at, 5 + at) for at in read], None)
    assert consumer.committed == committed
