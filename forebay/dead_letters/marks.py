"""Marks letters in the transaction that sends their records, so a replay that was killed sends nothing twice."""

from __future__ import annotations

import hashlib

from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic

from forebay.dead_letters.letter import Letter
from forebay.local.topics import wait_for_leaders
from forebay.pipelines.adapters.kafka.access import said
from forebay.pipelines.adapters.kafka.admin import new_admin
from forebay.pipelines.adapters.kafka.connection import Brokers
from forebay.pipelines.adapters.kafka.topic_reader import TopicReader
from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.record import TIMESTAMP_HEADER
from forebay.pipelines.errors import SettingsError

MARK_BYTES = 16
READY_S = 15.0


def marks_topic(topic: str) -> str:
    """Names the compacted topic of marks: which letters of a topic were replayed."""
    return f"{topic}.replayed"


def mark_of(letter: Letter, source: Position, project: str, recipient: str) -> bytes:
    """Returns the mark of one record for one recipient, different from all others.

    Not the letter's own position: a batch that is read again may write the same letter again, and a record that is
    refused by a definition and the next one of the same view is to be sent to that view once. Key, value and timestamp
    are part of it since a topic that was made anew has the same positions again.
    """
    texts = (str(source), letter.text(TIMESTAMP_HEADER), project, recipient)
    parts = [each.encode() for each in texts] + [letter.source_key() or b"", letter.value or b""]
    lengths = b"".join(len(each).to_bytes(8, "big") for each in parts)
    return hashlib.blake2b(lengths + b"".join(parts), digest_size=MARK_BYTES).digest()


def read_marks(reader: TopicReader, topic: str) -> set[bytes]:
    """Reads all marks of a topic of dead letters or late events.

    Raises:
        SettingsError: the brokers do not answer.
    """
    name = marks_topic(topic)
    if not reader.replicas(name):
        return set()
    return {message.key() for message in reader.messages(name) if message.key() is not None}


def create_marks_topic(reader: TopicReader, brokers: Brokers, topic: str) -> None:
    """Creates the topic of marks if it does not exist, with the replication factor of the letters' topic.

    Raises:
        SettingsError: the brokers refuse it, or do not answer.
    """
    name, copies = marks_topic(topic), reader.replicas(topic)
    if not copies:
        raise SettingsError(f"topic {topic!r} does not exist on {brokers}: `forebay topics` creates it")
    if reader.replicas(name):
        return
    admin = new_admin(brokers)
    new = NewTopic(name, 1, max(copies.values()), config={"cleanup.policy": "compact"})
    try:
        admin.create_topics([new], request_timeout=READY_S)[name].result()
    except Exception as error:
        if not reader.replicas(name):  # else another replay was first
            why = said(error.args[0], f"create topic {name!r}") if isinstance(error, KafkaException) else str(error)
            raise SettingsError(f"topic {name!r} can't be created on {brokers}: {why}") from error
    wait_for_leaders(admin, brokers, {name}, READY_S)
