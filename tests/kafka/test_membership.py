"""A static member keeps its partitions through a restart, and both group protocols score each record once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, Message

from forebay.local.topics import create_topics
from forebay.serving.worker.clients import Clients
from forebay.serving.worker.commit import WorkerFailed
from forebay.serving.worker.loop import Worker
from forebay.serving.worker.member import Member
from forebay.serving.worker.outgoing import OutgoingRecord
from forebay.serving.worker.settings import GroupProtocol, WorkerSettings
from tests.e2e.broker import Outgoing, produce, read_topic, until
from tests.kafka.apache_kafka import ApacheKafka
from tests.support.told_consumer import ToldConsumer

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

PARTITIONS = 4
PROTOCOLS: tuple[GroupProtocol, ...] = ("classic", "consumer")


class Started:
    """A worker on a thread, which partitions it was given and lost, and what ended it."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.owned: set[int] = set()
        self.moves: list[set[int]] = []
        self.error: Exception | None = None
        self.seen: list[tuple[int, int]] = []
        self._output = f"{settings.topic}.predictions"
        self.worker = Worker(settings, self._score, Clients(consumer=self._consumer))
        self.thread = threading.Thread(target=self._run)

    def _score(self, messages: Sequence[Message]) -> list[OutgoingRecord]:
        self.seen += [(int(each.partition() or 0), int(each.offset() or 0)) for each in messages]
        return [OutgoingRecord(self._output, each.key(), each.value(), []) for each in messages]

    def _consumer(self, config: dict[str, Any]) -> Any:
        return ToldConsumer(Consumer(config), self._given, self._lost)

    def _given(self, partitions: set[int]) -> None:
        self.owned |= partitions

    def _lost(self, partitions: set[int]) -> None:
        self.moves.append(partitions)
        self.owned -= partitions

    def _run(self) -> None:
        try:
            self.worker.run()
        except Exception as error:
            self.error = error

    def end(self) -> None:
        """Stops it, and waits for its thread."""
        self.worker.stop()
        if self.thread.ident:
            self.thread.join(30)


@pytest.fixture
def start() -> Iterator[Callable[[WorkerSettings], Started]]:
    """Starts workers that end with the test."""
    started: list[Started] = []

    def begin(settings: WorkerSettings) -> Started:
        worker = Started(settings)
        started.append(worker)
        worker.thread.start()
        return worker

    yield begin
    for each in started:
        each.end()


def settings(kafka: ApacheKafka, topic: str, protocol: GroupProtocol, instance: str, **more: Any) -> WorkerSettings:
    given = {"brokers": kafka.bootstrap, "topic": topic, "group": f"{topic}.group", "group_protocol": protocol}
    return WorkerSettings(**given, instance=instance, **more)


def topic_of(kafka: ApacheKafka, name: str, protocol: str) -> str:
    """A new topic, and that of its predictions."""
    topic = f"{name}.{protocol}"
    create_topics(kafka.bootstrap, {topic: PARTITIONS, f"{topic}.predictions": PARTITIONS})
    return topic


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_static_member_that_restarts_moves_no_partitions(
    kafka: ApacheKafka, start: Callable[[WorkerSettings], Started], protocol: GroupProtocol
) -> None:
    topic = topic_of(kafka, "static", protocol)
    first, second = (
        start(settings(kafka, topic, protocol, name, static_membership=True)) for name in ("first", "second")
    )
    until(lambda: len(first.owned) == len(second.owned) == PARTITIONS // 2, 40, "two partitions for each")
    before, moves = set(first.owned), len(second.moves)
    first.end()
    assert first.error is None
    again = start(settings(kafka, topic, protocol, "first", static_membership=True))
    until(lambda: again.owned == before, 40, "the partitions that it had")
    produce(kafka.bootstrap, topic, [Outgoing(at, b"k", b"%d" % at) for at in range(PARTITIONS)])
    until(lambda: len(read_topic(kafka.bootstrap, f"{topic}.predictions")) == PARTITIONS, 40, "all predictions")
    assert len(second.moves) == moves


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_two_workers_of_one_name_are_told_so(
    kafka: ApacheKafka, start: Callable[[WorkerSettings], Started], protocol: GroupProtocol
) -> None:
    """Started again, each would end the other for ever: it is nothing that a restart repairs."""
    topic = topic_of(kafka, "twins", protocol)
    asked = settings(kafka, topic, protocol, "twin", static_membership=True)
    first = start(asked)
    until(lambda: len(first.owned) == PARTITIONS, 40, "all partitions")
    second = start(asked)

    def one_ended() -> bool:
        # Where the group does not tell, the first transaction after the other's beginning does.
        produce(kafka.bootstrap, topic, [Outgoing(at, b"k", b"v") for at in range(PARTITIONS)])
        return first.error is not None or second.error is not None

    until(one_ended, 40, "the end of one of them")
    error = first.error or second.error
    assert isinstance(error, WorkerFailed)
    assert "another worker has this instance's name" in str(error)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_workers_that_come_and_go_score_every_record_once(
    kafka: ApacheKafka, start: Callable[[WorkerSettings], Started], protocol: GroupProtocol
) -> None:
    topic, count = topic_of(kafka, "coming", protocol), 0

    def send(more: int) -> None:
        nonlocal count
        produce(
            kafka.bootstrap, topic, [Outgoing(at % PARTITIONS, b"k", b"%d" % at) for at in range(count, count + more)]
        )
        count += more

    small = {"max_batch_records": 7}
    with sending(send):
        first = start(settings(kafka, topic, protocol, "", **small))
        until(lambda: len(first.owned) == PARTITIONS, 40, "all partitions")
        second = start(settings(kafka, topic, protocol, "", **small))
        until(lambda: len(second.owned) == PARTITIONS // 2, 40, "a half for the second")
        first.end()
        until(lambda: len(second.owned) == PARTITIONS, 40, "all partitions for the second")
    until(lambda: len(read_topic(kafka.bootstrap, f"{topic}.predictions")) >= count, 40, "all predictions")
    values = sorted(int(each.value() or b"") for each in read_topic(kafka.bootstrap, f"{topic}.predictions"))
    assert values == list(range(count))


@contextmanager
def sending(send: Callable[[int], None]) -> Iterator[None]:
    """Sends all the time, some thousand records at most."""
    done = threading.Event()

    def run() -> None:
        for _ in range(200):
            if done.wait(0.05):
                return
            send(40)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(30)


def test_settings_that_do_not_go_together_are_refused() -> None:
    asked = WorkerSettings("broker:1", "payments", "group")
    with pytest.raises(Exception, match="--static-membership needs a name"):
        msgspec.structs.replace(asked, static_membership=True)
    with pytest.raises(Exception, match=r"group\.consumer\.session\.timeout\.ms"):
        msgspec.structs.replace(asked, group_protocol="consumer", session_timeout_ms=5_000)


def test_a_partition_that_is_paused_at_its_end_is_read_on_where_it_was(kafka: ApacheKafka) -> None:
    """With `Consumer.consume` the client would skip the record that comes next."""
    topic = topic_of(kafka, "paused", "classic")
    member = Member(settings(kafka, topic, "classic", ""), lambda _: None, lambda _: None)
    read: list[int] = []

    def reads(count: int) -> None:
        def enough() -> bool:
            read.extend(int(each.offset() or 0) for each in member.read().messages)
            return len(read) >= count

        until(enough, 30, f"{count} records")

    try:
        member.join()
        produce(kafka.bootstrap, topic, [Outgoing(0, b"k", b"%d" % at) for at in range(3)])
        reads(3)
        assert not member.read().messages  # so the end is known
        member.pause()
        produce(kafka.bootstrap, topic, [Outgoing(0, b"k", b"3")])
        assert not member.read().messages
        member.resume()
        reads(4)
        assert read == [0, 1, 2, 3]
    finally:
        member.leave()
