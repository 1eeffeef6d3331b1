"""Which topics a plan needs."""

from __future__ import annotations

from forebay.pipelines.contract.kafka.topics import dead_letter_topic, feeds, late_topic
from forebay.pipelines.contract.plan.plan import Plan


def carrying_topics(plan: Plan) -> set[str]:
    """Topics that records of other topics are copied to: routed ones, dead letters, late events."""
    refused = {topic(source.topic) for source in plan.sources for topic in (dead_letter_topic, late_topic)}
    return refused | {feed.topic for feed in feeds(plan) if feed.routed}


def needed_topics(plan: Plan, partitions: int) -> dict[str, int]:
    """Sources, routed topics, dead letters and late events: topic -> number of partitions.

    Dead letters and late events keep the order of nothing, so one partition each is enough.
    """
    topics = {source.topic: partitions for source in plan.sources}
    topics |= {feed.topic: partitions for feed in feeds(plan)}
    for source in plan.sources:
        topics[dead_letter_topic(source.topic)] = 1
        topics[late_topic(source.topic)] = 1
    return topics
