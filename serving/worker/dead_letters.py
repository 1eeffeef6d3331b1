"""Reads from a batch's outgoing records which of its events are given up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from confluent_kafka import Message

from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.topics import dead_letter_topic
from forebay.pipelines.steps.dead_letter_limit import Attempt, GivenUp
from forebay.serving.worker.events import OutgoingRecord


def attempts(topic: str, messages: Sequence[Message], records: Iterable[OutgoingRecord]) -> dict[int, Attempt]:
    """By partition of the scored topic, what a batch holds of it."""
    letters: dict[str, dict[str, bytes]] = {}
    for record in records:
        if record.topic == dead_letter_topic(topic):
            headers = {name: value or b"" for name, value in record.headers}
            letters[headers["forebay-position"].decode()] = headers
    seen: Counter[int] = Counter()
    given_up: defaultdict[int, dict[int, GivenUp]] = defaultdict(dict)
    for message in messages:
        position = Position(topic, int(message.partition() or 0), int(message.offset() or 0))
        headers = letters.get(str(position), {})
        if headers:
            error = headers["forebay-error"].decode(errors="replace")
            letter = GivenUp(position, headers["forebay-reason"].decode(), error)
            given_up[position.partition][seen[position.partition]] = letter
        seen[position.partition] += 1
    return {partition: Attempt(count, given_up[partition]) for partition, count in seen.items()}
