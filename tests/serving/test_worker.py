"""The whole worker, on the fake broker and on Apache Kafka: every event has one prediction, whatever goes on."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest
from confluent_kafka import KafkaError

from forebay.serving.worker.clients import Clients
from forebay.serving.worker.settings import WorkerSettings
from tests.e2e.broker import until
from tests.serving.worker_runs import RunningWorker, clients_of, echo_to
from tests.support.cluster import Cluster, FakeCluster

PARTITIONS = 4


class World:
    """A topic of events, one of predictions, and workers between them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.topic, self.output = cluster.create(PARTITIONS), cluster.create(1)
        group = uuid.uuid4().hex
        self.settings = WorkerSettings(
            cluster.bootstrap, self.topic, group, session_timeout_ms=6_000, transaction_timeout_ms=2_000
        )
        self._count = 0

    def publish(self, count: int) -> None:
        producer = self.cluster.producer({})
        for at in range(self._count, self._count + count):
            producer.produce(self.topic, b"%d" % at, b"k", partition=at % PARTITIONS)
        assert producer.flush(30) == 0
        self._count += count

    def worker(self, clients: Clients | None = None) -> RunningWorker:
        return RunningWorker(self.settings, echo_to(self.output), clients or clients_of(self.cluster))

    def scored(self) -> Counter[int]:
        """How often each event was scored."""
        return Counter(int(each.value()) for each in self.cluster.read(self.output))

    def wait_until_all_are_scored_once(self) -> None:
        until(lambda: self.scored() == Counter(range(self._count)), 60, "every event to be scored")


@pytest.fixture
def world(cluster: Cluster) -> World:
    return World(cluster)


@pytest.fixture
def memory() -> World:
    """On the fake broker alone, which fails when it is told to."""
    return World(FakeCluster())


def test_workers_that_come_and_go_score_every_event_once(world: World) -> None:
    world.publish(40)
    with world.worker():
        world.wait_until_all_are_scored_once()
        with ExitStack() as others:
            others.enter_context(world.worker())
            others.enter_context(world.worker())
            for _ in range(5):
                world.publish(40)
                time.sleep(0.1)
            world.wait_until_all_are_scored_once()
        world.publish(40)
        world.wait_until_all_are_scored_once()


def test_another_worker_goes_on_where_one_was_stopped(world: World) -> None:
    for _ in range(2):
        world.publish(20)
        with world.worker():
            world.wait_until_all_are_scored_once()


@pytest.mark.parametrize("call", ["send_offsets_to_transaction", "commit_transaction"])
def test_a_batch_whose_commit_fails_is_read_again_with_what_came_after_it_in_order(memory: World, call: str) -> None:
    lost = KafkaError(KafkaError.COORDINATOR_NOT_AVAILABLE, "lost", txn_requires_abort=True)
    memory.cluster.broker.fail(call, *[lost] * 4)  # type: ignore[attr-defined]
    with memory.worker():
        for _ in range(10):
            memory.publish(20)
        memory.wait_until_all_are_scored_once()
    order = [int(each.value()) for each in memory.cluster.read(memory.output)]
    for partition in range(PARTITIONS):
        of_one = [each for each in order if each % PARTITIONS == partition]
        assert of_one == sorted(of_one)


def test_a_transaction_of_which_nobody_knows_what_became_is_begun_anew_from_the_last_commit(memory: World) -> None:
    broker: Any = memory.cluster.broker  # type: ignore[attr-defined]
    conflict = KafkaError(KafkaError._CONFLICT, "already in progress", retriable=True)
    broker.fail("commit_transaction", conflict)
    broker.fail("abort_transaction", conflict)
    memory.publish(20)
    with memory.worker():
        memory.wait_until_all_are_scored_once()


class SlowCommits:
    """A producer whose commits take a while."""

    def __init__(self, inner: Any, begun: threading.Event) -> None:
        self._inner, self._begun = inner, begun

    def commit_transaction(self, timeout: float) -> None:
        self._begun.set()
        time.sleep(0.5)
        self._inner.commit_transaction(timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_what_is_in_flight_is_committed_before_the_end(memory: World) -> None:
    begun = threading.Event()
    clients = clients_of(memory.cluster)
    slow = clients._replace(producer=lambda config: SlowCommits(memory.cluster.producer(config), begun))  # type: ignore[arg-type, return-value]
    memory.publish(1)
    with memory.worker(slow):
        assert begun.wait(10)
    assert memory.scored() == Counter([0])


def test_a_worker_that_is_told_to_stop_waits_for_no_broker_that_does_not_answer(memory: World) -> None:
    broker: Any = memory.cluster.broker  # type: ignore[attr-defined]
    broker.fail("commit_transaction", *[KafkaError(KafkaError._TIMED_OUT, "no answer", retriable=True)] * 10_000)
    memory.publish(1)
    begun = time.monotonic()
    with memory.worker():
        time.sleep(0.5)
    assert time.monotonic() - begun < 5
    assert memory.scored() == Counter()
