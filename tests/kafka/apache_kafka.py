"""A real Apache Kafka of one node: in a container where Docker runs, else from the server's own jars."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from types import TracebackType
from typing import Protocol, Self


class ApacheKafka(Protocol):
    """One node; entered, it runs. Everything it holds is gone after `stop`."""

    bootstrap: str
    """host:port, the same for its whole life."""

    def start(self) -> None:
        """Starts, or starts again after `kill`, on the same port and data; returns when it answers."""

    def kill(self) -> None:
        """Ends it as a crash would. Starting takes 5 s then: the controller first gives up the old broker."""

    def pause(self) -> None:
        """It stands still, its connections open, until `resume`."""

    def resume(self) -> None:
        """It goes on where it was."""

    def restart(self) -> None:
        """Stops it in order and starts it again."""

    def stop(self) -> None:
        """Ends it for good."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def unavailable() -> str | None:
    """None when a Kafka can be started here, else what is missing."""
    if _docker_runs() or jars_missing() is None:
        return None
    return "Apache Kafka needs a running Docker engine, or java (17 or newer) and mvn on PATH: neither is here"


def jars_missing() -> str | None:
    """None when it can be started from the server's own jars, else what is missing."""
    if shutil.which("java") and shutil.which("mvn"):
        return None
    return "Apache Kafka from its jars needs java (17 or newer) and mvn on PATH"


def apache_kafka() -> ApacheKafka:
    """A node that is not started yet, in the way that this machine allows."""
    # Imported here: neither way needs what the other one needs.
    if _docker_runs():
        from tests.kafka.in_docker import KafkaInDocker

        return KafkaInDocker()
    from tests.kafka.from_jars import KafkaFromJars

    return KafkaFromJars()


@cache
def _docker_runs() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=5, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
