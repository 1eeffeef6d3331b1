"""A transaction whose brokers do not answer, one that the library has lost track of, and commits without any."""

import msgspec
import pytest
from confluent_kafka import KafkaError, TopicPartition

from forebay.serving.worker.commit import AtLeastOnceCommitter, TransactionalCommitter, TransactionLost, WorkerFailed
from forebay.serving.worker.outgoing import OutgoingRecord
from forebay.serving.worker.settings import WorkerSettings
from tests.support.broker.broker import FakeBroker

SETTINGS = WorkerSettings(brokers="127.0.0.1:1", topic="payments", group="shop.score")
AWAY = KafkaError(KafkaError._TIMED_OUT, "no answer", retriable=True)
CONFLICT = KafkaError(
    KafkaError._CONFLICT, "Conflicting commit_transaction API call is already in progress", retriable=True
)
FENCED = KafkaError(KafkaError._FENCED, "fenced")


@pytest.fixture
def broker():
    made = FakeBroker()
    made.create("payments", 2)
    made.create("scores", 1)
    return made


def commit(broker, settings=SETTINGS):
    """Whether one score was committed, with an offset."""
    committer = TransactionalCommitter(settings, lambda: False, broker.producer)
    membership = broker.consumer({"group.id": settings.group}).consumer_group_metadata()
    scores = [OutgoingRecord("scores", None, b"0.5", [])]
    return committer.commit(scores, [TopicPartition("payments", 0, 1)], membership)


def scores(broker):
    return [each.value() for each in broker.read("scores")]


def committed(broker):
    """What the group has committed, by partition."""
    asker = broker.consumer({"group.id": SETTINGS.group})
    found = asker.committed([TopicPartition("payments", at) for at in range(2)])
    return {each.partition: each.offset for each in found if each.offset >= 0}


def test_brokers_that_do_not_answer_are_asked_again(broker):
    broker.fail("commit_transaction", AWAY, AWAY, AWAY)
    assert commit(broker)
    assert (scores(broker), committed(broker)) == ([b"0.5"], {0: 1})


def test_a_call_that_the_library_has_lost_track_of_is_not_made_for_ever(broker):
    """It would say so for ever: the worker joins again, from the last commit."""
    broker.fail("commit_transaction", AWAY, CONFLICT)
    broker.fail("abort_transaction", CONFLICT)
    with pytest.raises(TransactionLost, match="Conflicting"):
        commit(broker)


def test_what_can_be_aborted_is_read_again(broker):
    broker.fail("commit_transaction", CONFLICT)
    assert not commit(broker)
    assert (scores(broker), committed(broker)) == ([], {})


def test_a_producer_that_was_fenced_says_so_even_where_it_can_not_abort(broker):
    """The failed commit is then the call that the library has lost track of."""
    broker.fail("commit_transaction", FENCED)
    broker.fail("abort_transaction", CONFLICT)
    with pytest.raises(WorkerFailed, match="another worker has this instance's name: fenced"):
        commit(broker, msgspec.structs.replace(SETTINGS, instance="a"))


@pytest.mark.parametrize(
    ("code", "repair"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "write to topic 'scores'"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "read consumer group 'shop.score'"),
        (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, r"write as transactional id shop\.score\.\*"),
    ],
)
def test_a_right_that_is_taken_away_is_the_one_that_is_named(broker, code, repair):
    """Brokers refuse to add the topic to a transaction, and its records with it."""
    broker.fail("commit_transaction", KafkaError(code, "not authorised"))
    with pytest.raises(WorkerFailed, match=f"not authorised; allow the user to {repair}"):
        commit(broker)


def test_a_user_who_may_write_to_no_topic_is_told_which_ones_are_needed(broker):
    broker.fail("flush", KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, "no producer id"))
    consumer = broker.consumer({"group.id": SETTINGS.group})
    committer = AtLeastOnceCommitter(SETTINGS, consumer, lambda: False, broker.producer)
    records = [OutgoingRecord(topic, None, b"v", []) for topic in ("scores", "payments.dlq", "scores")]
    with pytest.raises(WorkerFailed, match=r"write to topic 'payments\.dlq' and 'scores'"):
        committer.commit(records, [], None)


@pytest.mark.parametrize(("read", "expected"), [([0, 1], {1: 6}), ([0], {})])
def test_at_least_once_commits_only_partitions_that_are_still_assigned(broker, read, expected):
    """A rebalance came amid the batch: the broker would let this worker take back the commits of the next owner."""
    consumer = broker.consumer({"group.id": SETTINGS.group})
    consumer.assign([TopicPartition("payments", 1)])
    committer = AtLeastOnceCommitter(SETTINGS, consumer, lambda: False, broker.producer)
    assert committer.commit([], [TopicPartition("payments", at, 5 + at) for at in read], None)
    assert committed(broker) == expected
