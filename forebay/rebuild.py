"""`forebay rebuild`: the repair where a view's rows and its topic no longer belong together."""

from __future__ import annotations

import msgspec
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from forebay.store_walk import entity_rows, hashes, opened
from pipelines.adapters.kafka import group_name
from pipelines.contract.entity_key import (
    closed_field,
    feature_field,
    head_field,
    timestamp_field,
)
from pipelines.contract.plan import Plan, StreamView
from pipelines.contract.topology import is_progress_of, progress_keys, view_topic
from pipelines.errors import SettingsError

_ANSWER_S = 10.0


class Cleared(msgspec.Struct, frozen=True):
    """What was removed."""

    view: str
    topic: str
    """Where the processor starts from the beginning."""
    rows: int
    partitions: int
    """Partitions whose progress was removed."""


def check_stopped(plan: Plan, brokers: str) -> None:
    """Does nothing while no processor of the project runs: one that did would fold onto rows that are gone.

    Raises:
        SettingsError: one runs, or the brokers do not answer.
    """
    group = group_name(plan.project, "process")
    members = _members(AdminClient({"bootstrap.servers": brokers}), brokers, group)
    if members:
        raise SettingsError(f"{members} feature processors run (group {group!r}): stop them, and start them afterwards")


def _members(admin: AdminClient, brokers: str, group: str) -> int:
    try:
        # A cluster that has no group at all can't describe one.
        listed = admin.list_consumer_groups(request_timeout=_ANSWER_S).result(_ANSWER_S)
        if not listed.errors and group not in {each.group_id for each in listed.valid}:
            return 0
        described = admin.describe_consumer_groups([group], request_timeout=_ANSWER_S)
        return len(described[group].result(_ANSWER_S).members)
    except (KafkaException, TimeoutError) as error:
        raise SettingsError(f"{brokers} does not say whether processors run: {error}") from error


def route_again(plan: Plan, view: StreamView, brokers: str) -> None:
    """Lets the router of a routed view begin with the earliest record that its source topic retains.

    What it routed before may be of a former life, and gone or skipped. Where it is not, it is dropped as a duplicate.

    Raises:
        SettingsError: the brokers refuse it, or do not answer.
    """
    source = plan.source(view.source).topic
    if view_topic(plan, view) == source:
        return
    admin = AdminClient({"bootstrap.servers": brokers})
    try:
        partitions = admin.list_topics(source, _ANSWER_S).topics[source].partitions
        asked = {TopicPartition(source, each): OffsetSpec.earliest() for each in partitions}
        earliest = admin.list_offsets(asked, request_timeout=_ANSWER_S)
        starts = [TopicPartition(source, at.partition, found.result().offset) for at, found in earliest.items()]
        group = group_name(plan.project, "process")
        for answer in admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, starts)]).values():
            answer.result(_ANSWER_S)
    except (KafkaException, TimeoutError) as error:
        raise SettingsError(f"{brokers} does not let {source!r} be routed again: {error}") from error


def clear_view(plan: Plan, view: StreamView, store: str) -> Cleared:
    """Removes the view's features, state and progress; other views of the same entities stay.

    Afterwards the processor computes the view from the earliest record that Kafka retains.

    Raises:
        StoreUnavailable: the store can't be reached; run it again.
    """
    fields = [
        *(head_field(view), closed_field(view), timestamp_field(view.name)),
        *(feature_field(view.name, feature.name) for feature in view.features),
    ]
    topic, names = view_topic(plan, view), {key.name for key in view.join_keys}
    rows = partitions = 0
    with opened(store) as client:
        # Progress first: should this stop half way, the rest of the rows still say what they contain.
        for key in hashes(client, progress_keys(plan.project, topic)):
            stale = [field for field in client.hkeys(key) if is_progress_of(field, view)]
            partitions += bool(stale and client.hdel(key, *stale))
        for key, entity in entity_rows(client, plan.project):
            if entity.keys() == names:
                rows += bool(client.hdel(key, *fields))
    return Cleared(view.name, topic, rows, partitions)
