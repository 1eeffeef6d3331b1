"""Sends the records of letters to their source topic again, each once, only for the readers that refused them.

A record and its marks are written in one transaction. A replay that was killed left either both or neither; the next
one ends what it left open, reads the marks, and goes on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from forebay.dead_letters.addressing import SENT_BEFORE, Destination, Sendable, address
from forebay.dead_letters.letter import Letter
from forebay.dead_letters.marks import create_marks_topic, marks_topic, read_marks
from forebay.dead_letters.outbox import Outbox, Outgoing
from forebay.dead_letters.retention import oldest_kept_ms
from forebay.dead_letters.selection import Selection
from forebay.pipelines.adapters.kafka.connection import Brokers
from forebay.pipelines.adapters.kafka.topic_reader import TopicReader
from forebay.pipelines.contract.kafka.recipients import ONLY_FOR_HEADER
from forebay.pipelines.contract.kafka.record import REPLAY_OF_HEADER
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.sources import Source

AT_ONCE = 500
"""Records of one transaction, at most."""

TRANSACTIONS_PER_S = 5
"""With a rate, about so many: a slow replay is visible soon, and shows its progress."""


class Place(NamedTuple):
    """The topics and brokers of one replay."""

    plan: Plan
    source: Source
    letters: str
    """Topic of the letters."""
    brokers: Brokers


class Outlook(msgspec.Struct):
    """The counts of a replay: what it would send, or has sent."""

    topic: str
    """Topic of the letters."""
    chosen: int = 0
    sent: int = 0
    """Of a dry run: would be sent."""
    sent_before: int = 0
    not_sent: dict[str, int] = {}
    """By reason, letters that are chosen and can't be sent."""


def outlook(place: Place, selection: Selection) -> Outlook:
    """Counts what a replay would send now, and writes nothing.

    Raises:
        SettingsError: a topic does not exist, or the brokers do not answer.
    """
    reader = TopicReader(place.brokers)
    try:
        found = Outlook(place.letters)
        for _ in _sendable(place, selection, reader, read_marks(reader, place.letters), found):
            found.sent += 1
        return found
    finally:
        reader.close()


def replay(place: Place, selection: Selection, rate: float, on_sent: Callable[[int], None]) -> Outlook:
    """Sends the selected records that were not sent before.

    Args:
        rate: records per second; 0: as fast as the brokers take them.
        on_sent: told how many records have been sent so far, after every transaction.

    Raises:
        SettingsError: a topic does not exist, or the brokers do not answer or refuse.
        ReplayEnded: another replay of these letters has begun, or the brokers went away; what was sent is marked.
    """
    reader = TopicReader(place.brokers)
    try:
        create_marks_topic(reader, place.brokers, place.letters)
        # First: it ends what a replay that was killed left open. Only then are the marks complete.
        outbox = Outbox(place.brokers, f"forebay.history.replay.{place.letters}")
        marked = read_marks(reader, place.letters)
        found = Outlook(place.letters)
        at_once = max(1, min(AT_ONCE, int(rate / TRANSACTIONS_PER_S))) if rate else AT_ONCE
        started_s = time.monotonic()
        batch: list[Sendable] = []

        def send() -> None:
            outbox.send([each for sendable in batch for each in _outgoing(place, sendable)])
            found.sent += len(batch)
            batch.clear()
            on_sent(found.sent)
            if rate:
                time.sleep(max(0.0, started_s + found.sent / rate - time.monotonic()))

        for sendable in _sendable(place, selection, reader, marked, found):
            batch.append(sendable)
            if len(batch) == at_once:
                send()
        if batch:
            send()
        return found
    finally:
        reader.close()


def _sendable(
    place: Place, selection: Selection, reader: TopicReader, marked: set[bytes], found: Outlook
) -> Iterator[Sendable]:
    """Yields what is to be sent, in the letters' order, counts it in `found` and adds its marks to `marked`."""
    oldest_ms = oldest_kept_ms(place.brokers, place.source.topic, time.time_ns() // 1_000_000)
    destination = Destination(len(reader.replicas(place.source.topic)), oldest_ms)
    refused: Counter[str] = Counter()
    for message in reader.messages(place.letters):
        letter = Letter.of(message)
        if letter not in selection:
            continue
        found.chosen += 1
        given = address(letter, place.plan, place.source, destination, marked)
        if isinstance(given, Sendable):
            marked.update(given.marks)
            yield given
        elif given == SENT_BEFORE:
            found.sent_before += 1
        else:
            refused[given.why] += 1
            found.not_sent = dict(refused)


def _outgoing(place: Place, sendable: Sendable) -> Iterator[Outgoing]:
    """Yields the original record and its marks, ready to be written."""
    letter = sendable.letter
    headers = [
        *letter.own_headers(),
        (ONLY_FOR_HEADER, sendable.recipients.encode()),
        # Of a record that was replayed before, and refused again, where it was first of all.
        (REPLAY_OF_HEADER, dict(letter.headers).get(REPLAY_OF_HEADER) or str(sendable.source).encode()),
    ]
    where = (place.source.topic, sendable.source.partition)
    yield Outgoing(*where, letter.source_key(), letter.value, headers, letter.timestamp_ms)
    for mark, recipient in sendable.marks.items():
        note = {"letter": str(letter.at), "record": str(sendable.source), "for": recipient}
        yield Outgoing(marks_topic(place.letters), 0, mark, msgspec.json.encode(note), [], -1)
