"""Runs broker, store, registry and the three processes on one machine."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from forebay.definitions.compile import compile_plan
from forebay.definitions.topics import carrying_topics, needed_topics
from forebay.history.materialize import materialize
from forebay.local.ports import claim_port, free_port
from forebay.local.process import ChildProcess, Command, StackError
from forebay.local.processes import Process
from forebay.local.restarted import Restarted
from forebay.local.server import Server
from forebay.local.tansu import Tansu, TansuSettings
from forebay.local.topics import create_topics
from forebay.local.valkey import Valkey, ValkeySettings
from forebay.pipelines.adapters.kafka.connection import FILE_VARIABLE, VARIABLE_PREFIX, Brokers
from forebay.pipelines.contract.kafka.topics import output_topics
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.errors import SettingsError
from forebay.pipelines.process.logs import log_settings
from forebay.watch.metrics_page import scrape, total

_SESSION_TIMEOUT_MS = 6_000
"""Tansu lets a member join after half of it."""

_SHOWN_CHARS = 2_000


@dataclass(frozen=True)
class StackSettings:
    """Settings of the local stack."""

    repo: Path
    """The Feast feature repository."""
    model: Path
    topic: str
    """The topic to score."""
    output: str
    """The prediction topic."""
    folder: Path = Path(".forebay")
    """Takes the plan file and the logs."""
    partitions: int = 4
    """Of every topic."""
    clock: Literal["wall", "watermark"] = "wall"
    http_port: int = 0
    """Of the endpoint; 0: a free one."""
    env: Mapping[str, str] | None = None
    """Variables that the definitions read, beside those of this process."""
    brokers: Brokers = ""
    """A running Kafka; empty: a broker of its own."""
    kafka_properties: Path | None = None
    """The file with the connection's properties."""
    data: Path | None = None
    """Where the store keeps its rows; None: they are gone when it ends."""
    include_features: bool = False
    """Whether predictions carry the model's input."""
    without: frozenset[Process] = frozenset()
    """Processes that are not started here."""

    def __post_init__(self) -> None:
        """Refuses a store that outlives its topics."""
        if self.data and not self.brokers:
            raise SettingsError(
                "--data keeps the store, but the embedded broker (Tansu) keeps its topics in memory: the rows would be "
                "of topics that are gone, and refused; give the --brokers of a running Kafka too"
            )


class LocalStack:
    """Store and broker from their wheels, and Forebay's processes; `stop` ends all of them.

    `start`, `feast_apply`, `compile`, `materialize`, `run`, in this order. Everything is a child of this
    process, and dies with it.

    Raises:
        SettingsError: a wheel is missing, or a port is in use.
    """

    def __init__(self, settings: StackSettings) -> None:
        self.settings = settings
        self.logs = settings.folder / "logs"
        self.plan_file = settings.folder / "plan.msgpack"
        self.http_port = claim_port(settings.http_port, "the endpoint")
        kept = settings.data / "valkey" if settings.data else None
        self._valkey = Valkey(
            ValkeySettings(data_folder=kept, appendonly=kept is not None, log_path=self.logs / "valkey.log")
        )
        self._tansu = None if settings.brokers else Tansu(TansuSettings(log_path=self.logs / "tansu.log"))
        self._restarted: list[Restarted] = []
        self._stopping = contextlib.ExitStack()
        self.metrics_urls: dict[str, str] = {}
        """Process -> its metrics page, once it runs."""

    @property
    def brokers(self) -> Brokers:
        """The broker."""
        return self._tansu.bootstrap if self._tansu else self.settings.brokers

    @property
    def redis(self) -> str:
        """Address of the store."""
        return self._valkey.address

    @property
    def url(self) -> str:
        """The endpoint, once it runs."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def env(self) -> dict[str, str]:
        """Returns the environment of all child processes, with the addresses of broker and store for definitions."""
        return {
            **self._outer_env,
            **(self.settings.env or {}),
            "FOREBAY_BROKERS": str(self.brokers),
            "FOREBAY_REDIS": self.redis,
            "FOREBAY_LOG_FORMAT": log_settings().format,
            "FOREBAY_LOG_LEVEL": log_settings().level,
            "FEAST_USAGE": "False",
        }

    @property
    def _outer_env(self) -> dict[str, str]:
        if self._tansu:  # it asks for no security, whatever other brokers ask for
            return {name: value for name, value in os.environ.items() if not name.startswith(VARIABLE_PREFIX)}
        file = self.settings.kafka_properties
        return {**os.environ, **({FILE_VARIABLE: str(file.resolve())} if file else {})}

    def start(self) -> None:
        """Starts broker and store.

        Raises:
            StackError: one of them does not answer.
        """
        for log in self.logs.glob("*.log"):
            log.unlink()
        for server in self._servers:
            self._stopping.enter_context(server)

    @property
    def _servers(self) -> list[Server]:
        return [self._valkey, *([self._tansu] if self._tansu else [])]

    def write_env(self) -> Path:
        """Writes the addresses as a shell file, for producers, `forebay replay` and the Feast CLI beside the stack.

        `stop` removes the file: the store that it names is gone then, and a broker of its own too.
        """
        path = self.settings.folder / "env"
        names = {"FOREBAY_BROKERS", "FOREBAY_REDIS", *(self.settings.env or {})}
        path.write_text("".join(f"export {name}={shlex.quote(self.env[name])}\n" for name in sorted(names)))
        self._stopping.callback(path.unlink, missing_ok=True)
        return path

    def stop(self) -> None:
        """Ends everything in reverse order of start."""
        self._stopping.close()

    def feast_apply(self) -> None:
        """Registers the definitions.

        Raises:
            StackError: Feast refuses them; with what it said.
        """
        self._feast("apply")

    def compile(self) -> Plan:
        """Compiles the registry, and creates the topics that the plan needs.

        Raises:
            PlanError: the registry can't be run.
            SettingsError: Feast's own commands would use another store than this one.
        """
        plan = compile_plan(self.settings.repo, self.plan_file, self.env)
        if plan.batch_views and plan.redis.split(",")[0] != self.redis:
            raise SettingsError(
                f"{self.settings.repo / 'feature_store.yaml'}: Feast would write batch views to "
                f"{plan.redis or 'no store'}, not to the local one: write `connection_string: ${{FOREBAY_REDIS}}`"
            )
        create_topics(
            self.brokers,
            needed_topics(plan, self.settings.partitions)
            | dict.fromkeys(output_topics(self.settings.output), self.settings.partitions),
            carrying=carrying_topics(plan),
        )
        return plan

    def materialize(self, plan: Plan) -> None:
        """Copies the newest rows of every batch view to the store.

        Raises:
            PlanError: Feast could not; with what it said.
        """
        if plan.batch_views:
            # From the beginning: the store is new, whatever the registry says of another one.
            materialize(self.settings.repo, (), 0, time.time_ns() // 1_000_000, self.env)

    def run(self) -> None:
        """Starts the processor, the worker and the endpoint, and returns when all of them are ready.

        Raises:
            StackError: one of them ended, or does not get ready; with the end of its log.
        """
        make = {Process.PROCESS: self._processor, Process.SCORE: self._worker, Process.SERVE: self._endpoint}
        children = [make[each]() for each in Process if each not in self.settings.without]
        # Side by side: each takes seconds to import what it needs.
        for child in children:
            child.spawn()
            self._stopping.callback(child.stop)
            self._restarted.append(Restarted(child))
        for child in children:
            child.wait_ready()

    def _processor(self) -> ChildProcess:
        return self._metered(Process.PROCESS, f"--plan={self.plan_file}", f"--session-timeout-ms={_SESSION_TIMEOUT_MS}")

    def _worker(self) -> ChildProcess:
        return self._metered(
            Process.SCORE,
            *self._scored,
            f"--topic={self.settings.topic}",
            f"--output={self.settings.output}",
            f"--session-timeout-ms={_SESSION_TIMEOUT_MS}",
            "--include-features" if self.settings.include_features else "--no-include-features",
        )

    def _endpoint(self) -> ChildProcess:
        self.metrics_urls[Process.SERVE] = f"{self.url}/metrics"
        options = (*self._scored, f"--port={self.http_port}", f"--clock={self.settings.clock}")
        return self._child(Process.SERVE, options, lambda: _url_missing(f"{self.url}/readyz"))

    @property
    def _scored(self) -> tuple[str, ...]:
        return (f"--model={self.settings.model}", f"--plan={self.plan_file}")

    def check_running(self, say: Callable[[str], object] = lambda _: None) -> None:
        """Does nothing while broker, store and processes run; starts a process again that has ended.

        Args:
            say: told in one line that a process is started again, and when.

        Raises:
            ProcessEnded: broker or store ended, a process needs a repair, or one ended too often.
        """
        for server in self._servers:
            server.process.check_running()
        for restarted in self._restarted:
            restarted.look(say)

    def _metered(self, name: str, *args: str) -> ChildProcess:
        port = free_port()
        url = f"http://127.0.0.1:{port}/metrics"
        self.metrics_urls[name] = url
        return self._child(name, [*args, f"--metrics-port={port}"], lambda: _assignment_missing(url))

    def _child(self, name: str, args: Sequence[str], missing: Callable[[], str | None]) -> ChildProcess:
        command = Command(
            name=f"forebay {name}",
            args=(sys.executable, "-m", "forebay.cli", name, *args),
            log_path=self.logs / f"{name}.log",
            env=self.env,
            ready_timeout_s=60.0,
        )
        return ChildProcess(command, missing)

    def _feast(self, *args: str) -> None:
        feast = Path(sys.executable).parent / "feast"
        command = [str(feast), "-c", str(self.settings.repo), *args]
        result = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        if result.returncode:
            said = (result.stderr.strip() or result.stdout.strip())[-_SHOWN_CHARS:]
            raise StackError(f"`feast {args[0]}` on {self.settings.repo} failed:\n{said}")


def _url_missing(url: str) -> str | None:
    """Returns None if the address answers with success, else the reason why not."""
    try:
        with urllib.request.urlopen(url, timeout=1.0):
            return None
    except (urllib.error.URLError, OSError) as error:
        return f"no good answer from {url} ({error})"


def _assignment_missing(metrics_url: str) -> str | None:
    """Returns None if the process of this metrics page reads its partitions, else the reason why not."""
    try:
        page = scrape(metrics_url)
    except OSError as error:
        return f"no good answer from {metrics_url} ({error})"
    return None if total(page, "forebay_assigned_partitions") else "it has joined no consumer group yet"
