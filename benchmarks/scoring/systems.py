"""What is measured: builds of Forebay, each run from its own checkout, and the plain loop."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from benchmarks.scoring.plain_settings import PlainSettings
from benchmarks.scoring.plain_values import fill
from benchmarks.shared.events import CARDS
from benchmarks.shared.plans import scored_plan
from benchmarks.shared.scored_model import write_model
from benchmarks.shared.systems import empty_store
from forebay.local.process import ChildProcess, Command
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.pipelines.contract.plan.views import Aggregation

THIS = Path(__file__).parents[2]
"""The checkout that this file belongs to."""


class Task(NamedTuple):
    """One run of one system."""

    name: str
    """Unique: no two runs share a project or a consumer group."""
    brokers: str
    redis: str
    topic: str
    output: str
    """The prediction topic."""
    aggregations: Sequence[Aggregation]
    folder: Path
    """Empty, and removed after the run."""


class System(Protocol):
    """Something that scores a topic."""

    name: str

    def feeder(self, task: Task) -> ChildProcess | None:
        """What computes the features, the store being empty before; None: they are there already."""
        ...

    def scorer(self, task: Task) -> ChildProcess:
        """What writes the predictions."""
        ...


class Build:
    """Forebay as it stands in a checkout."""

    def __init__(self, name: str, checkout: Path = THIS) -> None:
        self.name = name
        self._checkout = checkout

    def feeder(self, task: Task) -> ChildProcess:
        """See `System.feeder`."""
        empty_store(task.redis)
        write_plan(scored_plan(task.name, task.topic, task.aggregations), _plan_file(task))
        return self._process(task, "process")

    def scorer(self, task: Task) -> ChildProcess:
        """See `System.scorer`."""
        model = write_model(task.folder / "models", len(task.aggregations))
        return self._process(task, "score", "--model", str(model), "--topic", task.topic, "--output", task.output)

    def _process(self, task: Task, command: str, *more: str) -> ChildProcess:
        where = ("--plan", str(_plan_file(task)), "--brokers", task.brokers, "--redis", task.redis)
        args = (sys.executable, "-m", "forebay.cli", command, *where, *more)
        env = {**os.environ, "PYTHONPATH": str(self._checkout)}
        return ChildProcess(Command(f"{self.name} {command}", args, task.folder / f"{command}.log", env))


class Plain:
    """The plain loop: stored values, no windows, no barrier, no fence."""

    name = "plain loop"

    def feeder(self, task: Task) -> None:
        """See `System.feeder`."""
        empty_store(task.redis)
        fill(task.redis, CARDS, [each.name for each in task.aggregations])

    def scorer(self, task: Task) -> ChildProcess:
        """See `System.scorer`."""
        model = write_model(task.folder / "models", len(task.aggregations))
        names = [each.name for each in task.aggregations]
        settings = PlainSettings(
            task.brokers, task.redis, task.topic, task.output, task.name, str(model / "model.onnx"), names
        )
        args = (sys.executable, "-m", "benchmarks.scoring.plain", msgspec.json.encode(settings).decode())
        return ChildProcess(Command(self.name, args, task.folder / "plain.log"))


def _plan_file(task: Task) -> Path:
    return task.folder / "plan.msgpack"
