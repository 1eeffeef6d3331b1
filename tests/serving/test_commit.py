"""A transaction whose brokers do not answer, and one that the library has lost track of."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from serving import commit as module
from serving.commit import TransactionalCommitter, TransactionLost
from serving.settings import WorkerSettings

SETTINGS = WorkerSettings(brokers="127.0.0.1:1", topic="payments", group="shop.score")


def failure(code, text):
    return KafkaException(KafkaError(code, text, retriable=True))


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
