"""The measured systems: how each is started, and how its progress is seen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import redis

from benchmarks.peers.settings import PeerSettings
from benchmarks.shared.events import PARTITIONS
from benchmarks.shared.plans import stream_plan, view_of
from benchmarks.shared.shared_count import SharedCount
from forebay.local.process import ChildProcess, Command
from forebay.pipelines.adapters.kafka.admin import Topics
from forebay.pipelines.adapters.progress_reader import ProgressReader, ViewTopic
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.pipelines.contract.plan.views import Aggregation

BASELINE = "faust-streaming (stock)"
"""The system that the others are compared with."""


class Run(NamedTuple):
    """One run of one system."""

    name: str
    """Unique: no two runs share a consumer group, a project or a changelog."""
    brokers: str
    redis: str
    topic: str
    folder: Path
    """Empty, and removed after the run."""


class Started(NamedTuple):
    """A system's process, not started yet, and the number of events it has processed so far."""

    process: ChildProcess
    processed: Callable[[], int]


class System(Protocol):
    """Something that reads the topic."""

    name: str

    def prepare(self, run: Run) -> Started:
        """Everything but the start."""
        ...


class Forebay:
    """The feature processor with one view; progress is what it has written, fenced, to the store."""

    def __init__(
        self, aggregations: Sequence[Aggregation], *more: str, name: str = "forebay", publish_every_ms: int | None = 0
    ) -> None:
        """Args:
        more: arguments of the process.
        publish_every_ms: of the view.
        """
        self.name = name
        self._aggregations = aggregations
        self._publish_every_ms = publish_every_ms
        self._more = more

    def prepare(self, run: Run) -> Started:
        """See `System.prepare`. The store is emptied, so that every run begins with no rows."""
        plan_file, count = self.deploy(run)
        process = forebay_process("process", run.folder, plan_file, run.brokers, run.redis, *self._more)
        return Started(process, count)

    def deploy(self, run: Run) -> tuple[Path, Callable[[], int]]:
        """The plan's file, and the number of events that processors of this plan have processed so far."""
        empty_store(run.redis)
        plan = stream_plan(run.name, run.topic, self._aggregations, self._publish_every_ms)
        plan_file = run.folder / "plan.msgpack"
        write_plan(plan, plan_file)
        return plan_file, progress_count(run.name, run.topic, self._aggregations, run.brokers, run.redis)


def progress_count(
    project: str, topic: str, aggregations: Sequence[Aggregation], brokers: str, store: str
) -> Callable[[], int]:
    """The number of events that processors of a plan with one view have processed so far."""
    view = ViewTopic(view_of(topic, aggregations), topic, Topics(brokers).incarnation(topic))
    reader = ProgressReader(project, [view], RedisStore(store))

    def count() -> int:
        found = [reader.progress(view, partition) for partition in range(PARTITIONS)]
        return sum(progress.offset + 1 for progress in found if progress is not None)

    return count


class Peer:
    """A system of `benchmarks.peers`; progress is what it counts."""

    def __init__(self, name: str, module: str) -> None:
        self.name = name
        self._module = module

    def prepare(self, run: Run) -> Started:
        """See `System.prepare`."""
        count_file = run.folder / "count"
        count = SharedCount.create(count_file)
        settings = PeerSettings(
            run.brokers, run.redis, run.topic, PARTITIONS, run.name, str(count_file), str(run.folder)
        )
        args = (sys.executable, "-m", f"benchmarks.peers.{self._module}", msgspec.json.encode(settings).decode())
        return Started(ChildProcess(Command(self.name, args, run.folder / f"{self._module}.log")), count.value)


def peers() -> list[System]:
    """The systems Forebay is compared with, and the ceiling of all of them."""
    return [Peer(BASELINE, "faust_stock"), Peer("quixstreams", "quix"), Peer("ceiling", "ceiling")]


def empty_store(address: str) -> None:
    """Removes everything, and returns when its memory is free."""
    host, _, port = address.partition(":")
    client: Any = redis.Redis(host, int(port))
    client.execute_command("FLUSHALL", "SYNC")
    client.close()


def forebay_process(command: str, folder: Path, plan_file: Path, brokers: str, store: str, *more: str) -> ChildProcess:
    """A process of the command line, as a user starts it; its log is in the folder."""
    args = (sys.executable, "-m", "forebay.cli", command)
    where = ("--plan", str(plan_file), "--brokers", brokers, "--redis", store)
    return ChildProcess(Command(f"forebay {command}", (*args, *where, *more), folder / f"{command}.log"))
