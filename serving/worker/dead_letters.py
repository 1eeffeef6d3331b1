"""Reads from a batch's outgoing records which of its events are given up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from confluent_kafka import Message

from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.steps.dead_letter_limit import Attempt, GivenUp
from forebay.serving.worker.outgoing import OutgoingRecord


def attempts(topic: str, messages: Sequence[Message], records: Iterable[OutgoingRecord]) -> dict[int, Attempt]:
    """Counts, by partition of the scored topic, what a batch holds of it."""
    without_scores = {each.given_up.position: each.given_up for each in records if each.given_up}
    seen: Counter[int] = Counter()
    given_up: defaultdict[int, dict[int, GivenUp]] = defaultdict(dict)
    for message in messages:
        position = Position(topic, int(message.partition() or 0), int(message.offset() or 0))
        if found := without_scores.get(position):
            given_up[position.partition][seen[position.partition]] = found
        seen[position.partition] += 1
    return {partition: Attempt(count, given_up[partition]) for partition, count in seen.items()}
