"""Creates topics."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from forebay.local.process import StackError
from forebay.pipelines.adapters.kafka.access import Access, said
from forebay.pipelines.adapters.kafka.admin import new_admin
from forebay.pipelines.adapters.kafka.connection import Brokers
from forebay.pipelines.adapters.kafka.producer import AWAY, MAX_RECORD_BYTES
from forebay.pipelines.errors import BrokersUnavailable, SettingsError


def brokers_missing(brokers: Brokers) -> str | None:
    """Returns None if the brokers answer within a second, else the reason why not: a check for `ChildProcess`."""
    try:
        new_admin(brokers).list_topics(timeout=1.0)
    except KafkaException as error:
        return f"no answer from {brokers} ({error.args[0].str()})"
    return None


def create_topics(
    brokers: Brokers,
    partitions: Mapping[str, int],
    replication: int = 1,
    carrying: Collection[str] = (),
    timeout_s: float = 15.0,
) -> None:
    """Creates the topics that do not exist yet, and returns when every one can be written to.

    Args:
        brokers: host:port, more than one separated by commas.
        partitions: number of partitions by topic.
        replication: copies of each new topic.
        carrying: those that records of other topics are copied to.
        timeout_s: for every single answer of the brokers.

    Raises:
        SettingsError: a topic exists with another number of partitions, or the brokers do not let the client in.
        StackError: the brokers refuse a topic.
        BrokersUnavailable: they do not answer, or name no leader in time.
    """
    if not partitions:
        return
    access = Access(brokers)
    admin = new_admin(brokers, access)
    large = {"max.message.bytes": str(MAX_RECORD_BYTES)}
    new = [
        NewTopic(topic, count, replication, config=large if topic in carrying else {})
        for topic, count in partitions.items()
    ]
    for topic, future in admin.create_topics(new, request_timeout=timeout_s).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue
            access.check(0, admin)
            if error.args[0].code() in AWAY:
                raise _unanswered(brokers, error) from error
            why = said(error.args[0], f"create topic {topic!r}")
            raise StackError(f"topic {topic!r} can't be created on {brokers}: {why}") from error
    found = wait_for_leaders(admin, brokers, set(partitions), timeout_s)
    for topic, count in partitions.items():
        if found[topic] != count:
            raise SettingsError(
                f"topic {topic!r} exists with {found[topic]} partitions, but {count} are asked for: "
                f"ask for {found[topic]}, or delete the topic"
            )


def wait_for_leaders(admin: AdminClient, brokers: Brokers, topics: set[str], timeout_s: float) -> dict[str, int]:
    """Waits until each partition has a leader, and returns the number of partitions by topic."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            metadata = admin.list_topics(timeout=timeout_s).topics
        except KafkaException as error:
            raise _unanswered(brokers, error) from error
        found = {
            topic: len(metadata[topic].partitions)
            for topic in topics & metadata.keys()
            if metadata[topic].partitions and all(p.leader >= 0 for p in metadata[topic].partitions.values())
        }
        waiting = topics - found.keys()
        if not waiting:
            return found
        if time.monotonic() > deadline:
            raise BrokersUnavailable(f"topics {sorted(waiting)} have no leader on {brokers} after {timeout_s:g} s")
        time.sleep(0.05)


def _unanswered(brokers: Brokers, error: KafkaException) -> BrokersUnavailable:
    return BrokersUnavailable(f"no answer from {brokers}: {error.args[0].str()}; are the brokers up?")
