"""Tables that follow one another under a working worker: each event has one outcome, by the table that it names."""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forebay.pipelines.adapters.memory_store import MemoryStore
from forebay.pipelines.adapters.progress_reader import ProgressReader
from forebay.pipelines.contract.kafka.topics import output_topics, shadow_topic
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.serving.models.catalog import Catalog
from forebay.serving.models.deployment import Deployment
from forebay.serving.models.table import FILE
from forebay.serving.rollout import renewed as renewed_module
from forebay.serving.rollout.candidate import Candidate
from forebay.serving.rollout.follower import Follower
from forebay.serving.rollout.refused_models import RefusedModels
from forebay.serving.rollout.renewed import Renewed
from forebay.serving.worker.barrier import Barrier
from forebay.serving.worker.events import EventScorer
from forebay.serving.worker.settings import WorkerSettings
from tests.e2e.broker import until
from tests.serving.deployed import CARDS, deploy, scorer_of, write_version
from tests.serving.endpoint import NOW_MS, PLAN, fill
from tests.serving.test_event_scorer import SCORED
from tests.serving.worker_runs import RunningWorker, clients_of
from tests.support.cluster import FakeCluster

PARTITIONS = 4
PLUS = {"risk/1": 0.0, "risk/2": 1_000.0, "other/1": 5_000.0}


class World:
    """A worker on the fake broker that follows the tables of deployment `risk`."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        for reference, plus in PLUS.items():
            write_version(self.models, reference, plus)
        self.cluster = FakeCluster()
        self.topic, self.output = self.cluster.create(PARTITIONS), f"out.{uuid.uuid4().hex}"
        for topic in output_topics(self.output):
            self.cluster.create(1, topic)
        self.catalog = deploy(self.models, "risk/1")
        self.tables: dict[int, Deployment] = {1: self.catalog.deployments()[0]}
        self._store = MemoryStore()
        fill(self._store)
        self._source = msgspec.structs.replace(SCORED, topic=self.topic)
        plan_file = folder / "plan"
        write_plan(PLAN, plan_file)
        first = Candidate(PLAN, self.tables[1])
        self.refused = RefusedModels("risk")
        follower = Follower(plan_file, first, self.catalog, MemoryStore(), self.refused)
        self._generations: dict[EventScorer, int] = {}
        self.renewed = Renewed(self._event_scorer(), follower, lambda _candidate: self._event_scorer())
        self._published = 0

    def _event_scorer(self) -> EventScorer:
        barrier = Barrier(self._source, [], ProgressReader(PLAN.project, [], MemoryStore()), 0)
        scorer = scorer_of(self.catalog, self._store)
        made = EventScorer(scorer, self._source, barrier, self.output, include_features=False, topic_id="id-1")
        self._generations[made] = scorer.deployment.generation
        return made

    @contextmanager
    def worker(self) -> Iterator[None]:
        settings = WorkerSettings(
            self.cluster.bootstrap, self.topic, uuid.uuid4().hex, session_timeout_ms=6_000, max_batch_records=7
        )
        with RunningWorker(settings, lambda messages: self.renewed.present(messages), clients_of(self.cluster)):
            yield

    def change(self, live: str, *shares: tuple[str, float, float], shadows: tuple[str, ...] = ()) -> None:
        """Writes a table, and returns when the worker scores by it."""
        deploy(self.models, live, *shares, shadows=shadows)
        (deployment,) = self.catalog.deployments()
        self.tables[deployment.generation] = deployment
        until(lambda: self.look() == deployment.generation, 30, f"generation {deployment.generation}")

    def look(self) -> int:
        return self._generations[self.renewed.look()]

    def publish(self, count: int) -> None:
        producer = self.cluster.producer({})
        for at in range(self._published, self._published + count):
            event = {"event_ms": NOW_MS, "card": CARDS[at % len(CARDS)], "limit": 60.0}
            producer.produce(self.topic, json.dumps(event).encode(), b"k", partition=at % PARTITIONS)
        assert producer.flush(30) == 0
        self._published += count

    def predictions(self) -> list[dict[str, Any]]:
        return [json.loads(each.value()) for each in self.cluster.read(self.output)]

    def shadows(self) -> list[dict[str, Any]]:
        return [json.loads(each.value()) for each in self.cluster.read(shadow_topic(self.output))]

    def until_all_are_scored(self) -> None:
        until(lambda: len(self.predictions()) >= self._published, 60, f"{self._published} predictions")

    def check(self) -> None:
        """Every event has one prediction, and each of its table's shadows' once, by the table that they name."""
        found, sources = self.predictions(), [self.source(at) for at in range(self._published)]
        assert Counter(each["source"] for each in found) == Counter(sources)
        expected = Counter[tuple[str, str]]()
        for each in found:
            table, reference = self.tables[each["deployment"]], f"{each['model']}/{each['version']}"
            assert reference in table.answering
            assert each["scores"]["risk"] == -1.0 + PLUS[reference]
            expected.update((each["source"], shadow) for shadow in table.shadows)
        assert Counter((each["source"], f"{each['model']}/{each['version']}") for each in self.shadows()) == expected

    def source(self, at: int) -> str:
        return f"{self.topic}[{at % PARTITIONS}]@{at // PARTITIONS}"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(renewed_module, "LOOK_S", 0.0)
    return World(tmp_path)


@contextmanager
def repeated(action: Callable[[], None]) -> Iterator[None]:
    """Does something again and again on another thread."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(0.002):
            action()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_no_event_is_lost_or_doubled_while_tables_change_and_each_names_the_one_that_it_went_by(world: World) -> None:
    with world.worker():
        world.publish(40)
        world.until_all_are_scored()
        with repeated(lambda: world.publish(8)):
            world.change("risk/1", ("risk/2", 0, 20))
            world.change("risk/1", ("risk/2", 0, 60), shadows=("other/1",))
            world.change("risk/2", shadows=("other/1", "risk/1"))
            world.change("other/1", ("risk/1", 50, 100))
        world.publish(40)
        world.until_all_are_scored()
    world.check()
    generations = [each["deployment"] for each in world.predictions()]
    assert {1, 5} <= set(generations)
    assert generations == sorted(generations), "the output has one partition, and a table is never taken back"


def test_a_bad_table_changes_nothing_and_is_said(world: World) -> None:
    with world.worker():
        (world.models / "risk" / FILE).write_text("generation: 2\nlive: risk/7\n")
        for _ in range(3):
            world.look()
        world.publish(40)
        world.until_all_are_scored()
        assert "$.live is 'risk/7'" in world.refused.reasons[FILE]
        write_version(world.models, "risk/3", 0.0, service="no_such")
        deploy_over = Catalog(world.models / "risk").table_file
        deploy_over.write_text("generation: 2\nlive: risk/1\nshadows: [risk/3]\n")
        until(lambda: world.look() == 1 and "no_such" in str(world.refused.reasons), 30, "the refusal")
        world.publish(40)
        world.until_all_are_scored()
    world.check()
    assert {each["deployment"] for each in world.predictions()} == {1}


def test_two_changes_between_two_batches_are_the_last_one(world: World) -> None:
    deploy(world.models, "risk/2")
    world.change("other/1")
    world.publish(20)
    with world.worker():
        world.until_all_are_scored()
    world.check()
    assert {each["deployment"] for each in world.predictions()} == {3}
