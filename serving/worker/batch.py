"""A batch of the scored topic: what was read together, and what is committed together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from confluent_kafka import Message, TopicPartition

from forebay.pipelines.steps.dead_letter_limit import Tally
from forebay.serving.worker.outgoing import OutgoingRecord

Offsets = dict[int, int]
"""Partition of the scored topic -> offset."""


class Batch(NamedTuple):
    """Records that were scored, and not committed yet."""

    first: Offsets
    """Where the batch begins: where it is read again if it can't be committed."""
    records: Sequence[OutgoingRecord]
    """What the batch's records became, in order per partition."""
    offsets: Sequence[TopicPartition]
    """What is committed with them: the next offsets to read."""
    membership: Any
    """The consumer's group metadata when the batch was read."""
    events: int
    """How many records of the scored topic the batch holds."""
    size_bytes: int
    """Of the records it became."""
    tally: Tally
    """Of dead letters, before this batch."""


def first_offsets(messages: Iterable[Message]) -> Offsets:
    """Finds, per partition, the lowest offset."""
    found: Offsets = {}
    for message in messages:
        partition, offset = int(message.partition() or 0), int(message.offset() or 0)
        found[partition] = min(offset, found.get(partition, offset))
    return found


def next_offsets(messages: Sequence[Message]) -> list[TopicPartition]:
    """Makes the offsets to commit once these records are done."""
    last = {(each.topic(), each.partition()): each.offset() for each in messages}
    return [TopicPartition(topic, partition, offset + 1) for (topic, partition), offset in last.items()]


def earliest(parts: Iterable[Offsets]) -> Offsets:
    """Finds, per partition, the lowest of these offsets."""
    found: Offsets = {}
    for part in parts:
        for partition, offset in part.items():
            found[partition] = min(offset, found.get(partition, offset))
    return found
