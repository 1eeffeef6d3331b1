"""The processes of a project, started as an operator would, and what they have done so far."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from forebay.definitions.topics import needed_topics
from forebay.local.process import ChildProcess, Command
from forebay.local.topics import create_topics
from forebay.pipelines.adapters.kafka.admin import Topics, group_name
from forebay.pipelines.adapters.progress_reader import ViewTopic
from forebay.pipelines.adapters.redis.store import RedisStore
from forebay.pipelines.contract.kafka.topics import output_topics
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.store.keys import held_key
from forebay.pipelines.contract.store.publication import (
    decode_published_rows,
    is_published,
    publication_key,
    rows_field,
)
from forebay.pipelines.errors import SettingsError, StoreUnavailable
from forebay.serving.worker.build import online_views
from forebay.serving.worker.settings import worker_group
from forebay.watch.lag import ProcessorLag
from tests.e2e.broker import PARTITIONS, members_missing, until

FOREBAY = str(Path(sys.executable).with_name("forebay"))
SERVICE = "streamed"
SESSION_S = 6
"""How long a silent process keeps its partitions: the least that Apache Kafka allows by default."""


class Place(NamedTuple):
    """Where a project runs."""

    plan: Plan
    plan_file: Path
    model: Path
    brokers: str
    redis: str
    folder: Path
    """For logs."""

    @property
    def topic(self) -> str:
        """The topic of payments."""
        return self.plan.sources[0].topic

    @property
    def predictions(self) -> str:
        return f"{self.plan.project}.predictions"


class Deployment:
    """As many processors, workers and endpoints as asked for; all of them are ended with it."""

    def __init__(self, place: Place, session_s: int = SESSION_S, process_options: tuple[str, ...] = ()) -> None:
        """Args:
        session_s: how long a silent process keeps its partitions.
        process_options: more of them, for processors.
        """
        self.place = place
        self._children: list[ChildProcess] = []
        options = ("--plan", str(place.plan_file), "--redis", place.redis, "--brokers", place.brokers)
        self._process = (
            *(FOREBAY, "process", *options, "--session-timeout-ms", str(session_s * 1_000)),
            # Few enough for tests: a view that is added later is computed by a process of its own first.
            *("--ready-records", "20"),
            *process_options,
        )
        self._score = (
            *(FOREBAY, "score", *options, "--model", str(place.model), "--topic", place.topic),
            *("--output", place.predictions, "--session-timeout-ms", str(session_s * 1_000), "--include-features"),
            *("--feature-wait-ms", "5000"),
        )
        self._serve = (FOREBAY, "serve", *options, "--model", str(place.model), "--port")
        self.process_group = group_name(place.plan.project, "process")
        self.score_group = worker_group(place.plan.project, place.topic, place.predictions, place.model.name)

    def create_topics(self) -> None:
        """Creates the topics, those of predictions included."""
        wanted = needed_topics(self.place.plan, PARTITIONS)
        wanted |= dict.fromkeys(output_topics(self.place.predictions), PARTITIONS)
        create_topics(self.place.brokers, wanted)

    def processor(self, name: str = "process-1", *options: str) -> ChildProcess:
        return self._child(name, (*self._process, *options))

    def worker(self, name: str = "score-1", *options: str) -> ChildProcess:
        return self._child(name, (*self._score, *options))

    def endpoint(self, port: int, name: str = "serve") -> ChildProcess:
        return self._child(name, (*self._serve, str(port)))

    def _child(self, name: str, args: tuple[str, ...]) -> ChildProcess:
        child = ChildProcess(Command(name, args, self.place.folder / f"{name}.log"))
        self._children.append(child)
        return child

    def wait_for_members(self, processors: int, workers: int, seconds: float = 60) -> None:
        """Until both groups have so many members, each with partitions, while every process runs."""
        for group, members in ((self.process_group, processors), (self.score_group, workers)):
            until(
                lambda group=group, members=members: self._has_members(group, members),  # type: ignore[misc]
                seconds,
                f"{members} members of {group}",
            )

    def _has_members(self, group: str, members: int) -> bool:
        for child in self._children:
            child.check_running()
        return members_missing(self.place.brokers, group, members) is None

    def wait_until_processed(self, seconds: float = 60, check: Callable[[], None] = lambda: None) -> None:
        """Until every row contains every record that is in Kafka; fails with what is missing.

        Args:
            check: called again and again meanwhile; what it raises ends the wait.
        """
        behind: dict[str, int] | str = "not known"
        lag: ProcessorLag | None = None

        def all_processed() -> bool:
            nonlocal behind, lag
            check()
            try:
                lag = lag or ProcessorLag(self.place.plan, self.place.brokers, self.place.redis)
                behind = lag.records()
            except (SettingsError, StoreUnavailable) as error:
                # A broker that has just come back says for a moment that it does not lead the partition.
                behind = f"not known: {error}"
                return False
            return not any(behind.values())

        try:
            until(all_processed, seconds, "every record processed")
        except AssertionError as error:
            raise AssertionError(f"{error}; records missing, by topic: {behind}") from None
        finally:
            if lag:
                lag.close()

    def wait_until_published(self, seconds: float = 60, check: Callable[[], None] = lambda: None) -> None:
        """Until Feast reads every row of every view of the plan as its present definition says; `check` as above."""
        store = RedisStore(self.place.redis)

        def all_published() -> bool:
            check()
            try:
                views = online_views(self.place.plan, Topics(self.place.brokers))
                return all(
                    _is_published(self.place.plan, each, partition, store)
                    for each in views
                    for partition in range(each.partitions)
                )
            except (SettingsError, StoreUnavailable):
                return False

        try:
            until(all_published, seconds, "every view published")
        finally:
            store.close()

    def stop(self) -> None:
        for child in self._children:
            child.stop()


def _is_published(plan: Plan, each: ViewTopic, partition: int, store: RedisStore) -> bool:
    stored = store.read_hash(publication_key(plan.project, each.view.name))
    rows = stored.get(rows_field(each.topic, partition))
    if not is_published(stored, each.view) or rows is None or not decode_published_rows(rows).complete:
        return False
    return not store.read_hash(held_key(plan.project, each.view.name, each.topic, partition))


def run_forebay(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line, run to its end."""
    return subprocess.run(
        [FOREBAY, *args],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
