"""Committed offsets belong to one incarnation of their topic, and are refused in another one."""

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from forebay.pipelines.adapters.kafka.topic_watch import TopicWatch
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.prediction import prediction_id
from forebay.pipelines.errors import ProgressMismatch
from forebay.serving.worker import incarnation as module
from forebay.serving.worker.incarnation import ScoredIncarnation
from forebay.serving.worker.settings import WorkerSettings

SETTINGS = WorkerSettings(brokers="kafka:9092", topic="payments", group="shop.score")
KNOWN = Incarnation("payments", "id-2", 2)


class Topics:
    """The brokers, as they describe the topic now."""

    def __init__(self, now=KNOWN):
        self.now = now

    def glance(self, *_):
        return {} if self.now is None else {"payments": self.now}


class Group:
    """A consumer whose group has committed these offsets."""

    def __init__(self, *committed, failure=None):
        self.committed_, self.failure, self.asked = committed, failure, 0

    def committed(self, _partitions, _timeout):
        self.asked += 1
        if self.failure:
            raise self.failure
        return list(self.committed_)


def check(group, topics=None):
    made = ScoredIncarnation(SETTINGS, topics or Topics(), KNOWN)
    made.assigned([0, 1])
    return made.check(group)


def at(offset, metadata):
    return TopicPartition("payments", 1, offset, **({} if metadata is None else {"metadata": metadata}))


def test_what_is_committed_says_which_incarnation_it_belongs_to():
    made = ScoredIncarnation(SETTINGS, Topics(), KNOWN)
    marked = made.marked([TopicPartition("payments", 1, 7)])
    assert [(each.partition, each.offset) for each in marked] == [(1, 7)]
    assert check(Group(*marked))


def test_offsets_of_another_incarnation_are_refused_with_both_ids_and_the_repair():
    with pytest.raises(ProgressMismatch) as raised:
        check(Group(at(7, "forebay-topic-id=id-1")))
    for part in ("'payments'", "id id-1 when payments[1]@7", "now has id id-2", "--group shop.score --topic payments"):
        assert part in str(raised.value)


@pytest.mark.parametrize(
    "committed", [at(7, None), at(7, ""), at(7, "by another tool"), at(-1001, "forebay-topic-id=1")]
)
def test_offsets_that_say_nothing_of_it_are_taken(committed):
    """Of releases before this one, of the tool that resets them, or there are none."""
    assert check(Group(committed))


def test_nothing_is_scored_before_the_group_is_known_and_it_is_asked_once():
    made = ScoredIncarnation(SETTINGS, Topics(), KNOWN)
    made.assigned([0])
    away = Group(failure=KafkaException(KafkaError(KafkaError._TIMED_OUT)))
    assert not made.check(away)
    there = Group(at(7, None))
    assert made.check(there)
    assert made.check(there)
    assert there.asked == 1


def test_a_topic_made_anew_while_it_is_read_is_refused(monkeypatch):
    topics = Topics()
    watch = TopicWatch(topics, KNOWN)
    monkeypatch.setattr(module, "TopicWatch", lambda *_: watch)
    made = ScoredIncarnation(SETTINGS, topics, KNOWN)
    for now in (KNOWN, None, Incarnation("payments", "id-2", 4)):  # as it was; not described; with more partitions
        topics.now = now
        watch.look()
        assert made.check(Group())
    topics.now = Incarnation("payments", "id-3", 2)
    watch.look()
    with pytest.raises(ProgressMismatch, match="was read with id id-2; it now has id id-3"):
        made.check(Group())


def test_predictions_of_two_incarnations_of_a_topic_have_different_ids():
    where = Position("payments", 0, 7)
    assert prediction_id(where, "id-1", "m", "1") == prediction_id(where, "id-1", "m", "1")
    assert prediction_id(where, "id-1", "m", "1") != prediction_id(where, "id-2", "m", "1")
