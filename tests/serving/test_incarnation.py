"""Offsets are gone on from only in the incarnation of the topic that they were committed on."""

import pytest
from confluent_kafka import TopicPartition

from pipelines.contract.fence import Lineage, Position
from pipelines.contract.prediction import prediction_id
from pipelines.errors import ProgressMismatch
from serving.incarnation import LOOK_S, ScoredTopic


class Topics:
    topic_id = "first"

    def lineage(self, topic):
        return Lineage(topic, self.topic_id, 4)


class Consumer:
    """Answers with what a group committed."""

    def __init__(self, *committed):
        self.committed_offsets = committed

    def committed(self, partitions, timeout):
        assert timeout
        return list(self.committed_offsets)


def scored(topics, clock=lambda: 0.0):
    return ScoredTopic(topics, "payments", "shop.score", clock)


def test_commits_carry_the_topics_id():
    after = scored(Topics()).offset_after(3, 41)
    assert (after.topic, after.partition, after.offset, after.metadata) == ("payments", 3, 42, "first")


@pytest.mark.parametrize(
    "committed",
    [
        TopicPartition("payments", 0, 7, metadata="first"),
        TopicPartition("payments", 0, 7),
        TopicPartition("payments", 0, -1001, metadata="other"),
    ],
)
def test_offsets_of_this_incarnation_or_of_no_known_one_are_gone_on_from(committed):
    scored(Topics()).check_commits(Consumer(committed), [TopicPartition("payments", 0)])


def test_offsets_of_another_incarnation_are_refused_with_both_ids_and_the_repair():
    fine = TopicPartition("payments", 0, 7, metadata="first")
    former = TopicPartition("payments", 1, 7, metadata="before")
    with pytest.raises(ProgressMismatch, match=r"id before; the topic now has id first.*--delete --group shop.score"):
        scored(Topics()).check_commits(Consumer(fine, former), [])


def test_a_topic_that_is_made_anew_meanwhile_is_noticed():
    topics, now = Topics(), [0.0]
    topic = scored(topics, lambda: now[0])
    topics.topic_id = "second"
    topic.look()  # asked a moment ago
    now[0] = LOOK_S
    with pytest.raises(ProgressMismatch, match="id first; the topic now has id second"):
        topic.look()


def test_ids_of_predictions_of_two_incarnations_differ():
    at = Position("payments", 0, 7)
    assert prediction_id(at, "first", "fraud", "1") == prediction_id(at, "first", "fraud", "1")
    assert prediction_id(at, "first", "fraud", "1") != prediction_id(at, "second", "fraud", "1")
