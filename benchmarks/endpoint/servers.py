"""The measured servers: how each is started, and what it holds once it answers."""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.endpoint.load import Address
from forebay.local.ports import free_port
from forebay.local.process import ChildProcess, Command

HOST = "127.0.0.1"
_START_TIMEOUT_S = 60.0


class Deployed(NamedTuple):
    """What all servers answer from."""

    plan_file: Path
    model: Path
    """Folder of the model's version."""
    store: str
    """host:port."""


class Server(NamedTuple):
    """A program to be started."""

    name: str
    before_port: tuple[str, ...]
    """Arguments of the interpreter."""
    after_port: tuple[str, ...]
    checkout: Path
    """Whose code it runs."""
    ready_path: str


class Running(NamedTuple):
    """A server that answers."""

    name: str
    address: Address
    ready_s: float
    """From the start of the process until it said that it was ready."""
    resident_mb: float
    """Then."""


def servers(deployed: Deployed, before: Path | None) -> list[Server]:
    """Forebay, the peer, and Forebay of another checkout if there is one."""
    here = Path(__file__).parents[2]
    files = ("--plan", str(deployed.plan_file), "--model", str(deployed.model), "--redis", deployed.store)
    serve = ("-m", "forebay.cli", "serve", *files, "--port")
    plain, onnx = ("-m", "benchmarks.endpoint.plain"), str(deployed.model / "model.onnx")
    found = [
        Server("forebay", serve, (), here, "/readyz"),
        Server("plain", plain, (deployed.store, onnx), here, "/healthz"),
    ]
    return found if before is None else [*found, Server("forebay before", serve, (), before, "/readyz")]


@contextmanager
def running(started: Sequence[Server], folder: Path) -> Iterator[list[Running]]:
    """All servers at once: one that is not asked takes no time. Their logs are in the folder."""
    with ExitStack() as stack:
        found = []
        for server in started:
            port = free_port()
            process = _process(server, port, folder)
            stack.enter_context(process)
            found.append(_measured(server, process, port))
        yield found


def _process(server: Server, port: int, folder: Path) -> _Timed:
    # -P: what is imported comes from the checkout, and not from where the benchmark was started.
    args = (sys.executable, "-P", *server.before_port, str(port), *server.after_port)
    env = {**os.environ, "PYTHONPATH": str(server.checkout)}
    log = folder / f"{server.name.replace(' ', '-')}.log"
    command = Command(server.name, args, log, env, ready_timeout_s=_START_TIMEOUT_S)
    return _Timed(command, f"http://{HOST}:{port}{server.ready_path}")


class _Timed(ChildProcess):
    """Knows how long it took to be ready."""

    ready_s = 0.0

    def __init__(self, command: Command, ready_url: str) -> None:
        super().__init__(command, lambda: _missing(ready_url))

    def start(self) -> None:
        started = time.monotonic()
        super().start()
        self.ready_s = time.monotonic() - started


def _missing(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return None
    except (urllib.error.URLError, OSError) as error:
        return str(error)


def _measured(server: Server, process: _Timed, port: int) -> Running:
    resident_mb = psutil.Process(process.pid).memory_info().rss / 1e6
    return Running(server.name, Address(HOST, port), process.ready_s, resident_mb)
