"""A topic of garbage stops the worker before it commits, and a batch that was not committed is counted once."""

import json
import uuid

import msgspec
import pytest
from confluent_kafka import KafkaError

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.adapters.progress_reader import ProgressReader
from forebay.pipelines.errors import TooManyDeadLetters
from forebay.pipelines.steps.dead_letter_limit import Allowance
from forebay.serving.models.model import load_model
from forebay.serving.scoring.scorer import RequestScorer
from forebay.serving.worker.barrier import Barrier
from forebay.serving.worker.events import EventScorer
from forebay.serving.worker.settings import WorkerSettings
from tests.e2e.broker import until
from tests.serving.endpoint import NOW_MS, PLAN, fill, write_model
from tests.serving.test_event_scorer import SCORED, asked
from tests.serving.worker_runs import RunningWorker, clients_of
from tests.support.cluster import FakeCluster

GARBAGE = b"\xff"


class World:
    """A worker that bears two dead letters in a row, its topic, and what comes out."""

    def __init__(self, cluster, folder):
        self.cluster = cluster
        self.topic, self.output = cluster.create(1), cluster.create(1)
        self.letters = cluster.create(1, f"{self.topic}.dlq")
        store = MemoryStore()
        fill(store)
        source = msgspec.structs.replace(SCORED, topic=self.topic)
        scorer = RequestScorer.of(PLAN, [load_model(write_model(folder))], store)
        barrier = Barrier(source, [], ProgressReader(PLAN.project, [], MemoryStore()), 0)
        score = EventScorer(scorer, source, barrier, self.output, include_features=True, topic_id="id-1")
        group = uuid.uuid4().hex
        settings = WorkerSettings(
            cluster.bootstrap, self.topic, group, session_timeout_ms=6_000, dead_letters=Allowance(2)
        )
        self.worker = RunningWorker(settings, score, clients_of(cluster))

    def publish(self, *values):
        producer = self.cluster.producer({})
        for value in values:
            producer.produce(self.topic, value, b"k")
        assert producer.flush(30) == 0

    def counted(self):
        """(predictions, dead letters)."""
        return len(self.cluster.read(self.output)), len(self.cluster.read(self.letters))


def event(card):
    return json.dumps({"event_ms": NOW_MS, **asked(card)}).encode()


def test_beyond_the_limit_nothing_of_the_batch_is_committed(cluster, tmp_path):
    world = World(cluster, tmp_path)
    world.publish(event("a"), GARBAGE, GARBAGE)
    ended = pytest.raises(TooManyDeadLetters, match=rf"{world.topic}\[0\]@1 to {world.topic}\[0\]@3")
    with ended, world.worker:
        until(lambda: world.counted() == (1, 2), 30, "what the limit bears")
        world.publish(GARBAGE, event("a"))
        until(lambda: world.worker.ended, 30, "the end")
    assert world.counted() == (1, 2)


def test_a_batch_that_was_not_committed_is_counted_once(tmp_path):
    cluster = FakeCluster()
    world = World(cluster, tmp_path)
    lost = KafkaError(KafkaError.COORDINATOR_NOT_AVAILABLE, "lost", txn_requires_abort=True)
    cluster.broker.fail("commit_transaction", *[lost] * 4)
    world.publish(GARBAGE, GARBAGE)
    with world.worker:
        until(lambda: world.counted() == (0, 2), 30, "both letters")
        world.publish(event("a"), GARBAGE, GARBAGE)  # and a good one begins the count again
        until(lambda: world.counted() == (1, 4), 30, "two more letters")
