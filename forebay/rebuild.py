"""`forebay rebuild`: the repair where a view's rows and its topic no longer belong together."""

from __future__ import annotations

from typing import Any

import msgspec
import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipelines.adapters.kafka import group_name
from pipelines.adapters.redis_store import parse_connection_string
from pipelines.contract.entity_key import (
    closed_field,
    decode_entity_key,
    feature_field,
    head_field,
    timestamp_field,
)
from pipelines.contract.plan import Plan, StreamView
from pipelines.contract.topology import glob_literal, progress_keys, view_topic
from pipelines.errors import SettingsError, StoreUnavailable

_AT_ONCE = 1_000
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


def clear_view(plan: Plan, view: StreamView, store: str) -> Cleared:
    """Removes the view's features, state and progress; other views of the same entities stay.

    Afterwards the processor computes the view from the earliest record that Kafka retains.

    Raises:
        StoreUnavailable: the store can't be reached; run it again.
    """
    fields = [
        *(head_field(view.name), closed_field(view.name), timestamp_field(view.name)),
        *(feature_field(view.name, feature.name) for feature in view.features),
    ]
    topic, names = view_topic(plan, view), {key.name for key in view.join_keys}
    client: Any = redis.Redis(**parse_connection_string(store), socket_timeout=30.0, socket_connect_timeout=5.0)
    rows = partitions = 0
    try:
        # Progress first: should this stop half way, the rest of the rows still say what they contain.
        for key in client.scan_iter(match=progress_keys(plan.project, topic), count=_AT_ONCE, _type="HASH"):
            stale = [field for field in client.hkeys(key) if field.startswith(f"{view.name}@".encode())]
            partitions += bool(stale and client.hdel(key, *stale))
        for key in client.scan_iter(match=b"*" + glob_literal(plan.project), count=_AT_ONCE, _type="HASH"):
            found = decode_entity_key(key, plan.project)
            if found is not None and found.keys() == names:
                rows += bool(client.hdel(key, *fields))
    except redis.RedisError as error:
        raise StoreUnavailable(f"the online store failed after {rows} rows: {error}; run it again") from error
    finally:
        client.close()
    return Cleared(view.name, topic, rows, partitions)
