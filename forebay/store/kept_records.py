"""Asks brokers which records of a plan's topics there are, and for how long they are kept."""

from __future__ import annotations

from typing import NamedTuple

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType

from forebay.pipelines.adapters.kafka.access import Access, said
from forebay.pipelines.adapters.kafka.admin import Topics, new_admin
from forebay.pipelines.adapters.kafka.connection import Brokers
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import feeds
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.store.erasure import place

ASK_S = 5.0


class KeptRecords(NamedTuple):
    """What the topics that views are computed from hold."""

    offsets: dict[bytes, int]
    """By place, the last offset that was written; of partitions that hold something, as far as brokers say."""
    longest_ms: int | None
    """How long a record may stay; None: for ever, or nobody says how long."""
    unknown: str
    """Why nobody says how long; empty if the brokers did."""


def kept_records(plan: Plan, brokers: Brokers) -> KeptRecords:
    """Asks the brokers; what they do not answer within seconds is left out, since the store alone may be there."""
    topics = _incarnations(plan, brokers)
    missing = {feed.topic for feed in feeds(plan)} - topics.keys()
    if missing:
        return KeptRecords({}, None, f"{brokers} does not describe topic {min(missing)!r}")
    admin = new_admin(brokers, Access(brokers))
    try:
        return KeptRecords(_last_offsets(admin, topics), _longest_ms(admin, topics), "")
    except KafkaException as error:
        may = "describe the configuration of the plan's topics"
        return KeptRecords({}, None, f"{brokers}: {said(error.args[0], may)}")


def _incarnations(plan: Plan, brokers: Brokers) -> dict[str, Incarnation]:
    """Finds, by topic that is read, its incarnation as rows name it."""
    read = feeds(plan)
    found = Topics(brokers, ASK_S).glance(*{name for feed in read for name in (feed.topic, feed.source.topic)})
    return {
        feed.topic: found[feed.topic].routed_from(found[feed.source.topic]) if feed.routed else found[feed.topic]
        for feed in read
        if {feed.topic, feed.source.topic} <= found.keys()
    }


def _last_offsets(admin: AdminClient, topics: dict[str, Incarnation]) -> dict[bytes, int]:
    partitions = [TopicPartition(name, each) for name, topic in topics.items() for each in range(topic.partitions)]
    if not partitions:
        return {}
    asked = admin.list_offsets({each: OffsetSpec.latest() for each in partitions}, request_timeout=ASK_S)
    ends = {(each.topic, each.partition): answer.result().offset for each, answer in asked.items()}
    return {place(topics[name].digest, partition): end - 1 for (name, partition), end in ends.items() if end > 0}


def _longest_ms(admin: AdminClient, topics: dict[str, Incarnation]) -> int | None:
    """Finds the longest time for which a topic keeps records, None for ever.

    A segment goes as a whole, once its newest record is old enough: its oldest may be older by the time that a segment
    is written to.
    """
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
    longest_ms = 0
    for asked in admin.describe_configs(resources, request_timeout=ASK_S).values() if resources else ():
        settings = {name: entry.value for name, entry in asked.result().items()}
        retention_ms = int(settings.get("retention.ms") or -1)
        if retention_ms < 0 or "delete" not in (settings.get("cleanup.policy") or "delete"):
            return None
        longest_ms = max(longest_ms, retention_ms + int(settings.get("segment.ms") or 0))
    return longest_ms
