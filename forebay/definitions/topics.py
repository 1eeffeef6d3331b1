"""Finds the topics that a plan needs."""

from __future__ import annotations

from forebay.pipelines.contract.kafka.topics import dead_letter_topic, feeds, late_topic
from forebay.pipelines.contract.plan.plan import Plan


def carrying_topics(plan: Plan) -> set[str]:
    """Returns the topics to which records of other topics are copied: routed topics, dead letters, late events."""
    refused = {topic(source.topic) for source in plan.sources for topic in (dead_letter_topic, late_topic)}
    return refused | {feed.topic for feed in feeds(plan) if feed.routed}


def needed_topics(plan: Plan, partitions: int) -> dict[str, int]:
    """Returns the number of partitions by topic, of sources, routed topics, dead letters and late events.

    Dead letters and late events keep the order of nothing, so one partition each is enough.
    """
    topics = {source.topic: partitions for source in plan.sources}
    topics |= {feed.topic: partitions for feed in feeds(plan)}
    for source in plan.sources:
        topics[dead_letter_topic(source.topic)] = 1
        topics[late_topic(source.topic)] = 1
    return topics
