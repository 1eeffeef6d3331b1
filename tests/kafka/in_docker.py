"""Apache Kafka in a container of its official image."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from testcontainers.core.container import DockerContainer

from forebay.local.ports import free_port
from forebay.local.process import StackError
from forebay.local.topics import brokers_missing
from tests.kafka.one_node import CLUSTER_ID, HEAP, READY_TIMEOUT_S, server_properties

IMAGE = "apache/kafka:4.1.0"  # the version that pom.xml names too


class KafkaInDocker:
    """The official image. `docker start` keeps the container's files, and its port is bound for life."""

    def __init__(self) -> None:
        port = free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        properties = server_properties(self.bootstrap, "0.0.0.0", free_port(), "/tmp/forebay-kafka")
        environment = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in properties.items()}
        container: Any = DockerContainer(IMAGE)
        container.with_envs(CLUSTER_ID=CLUSTER_ID, KAFKA_HEAP_OPTS=HEAP, **environment)
        # A pair means: reachable from this machine only.
        container.ports[f"{port}/tcp"] = ("127.0.0.1", port)
        self._container = container
        self._created = False

    def start(self) -> None:
        if self._created:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._created = True
        deadline = time.monotonic() + READY_TIMEOUT_S
        while (missing := brokers_missing(self.bootstrap)) is not None:
            if time.monotonic() > deadline:
                log = self._container.get_wrapped_container().logs(tail=20).decode(errors="replace")
                raise StackError(f"{IMAGE} is not ready after {READY_TIMEOUT_S:g} s: {missing}\n{log}")
            time.sleep(0.1)

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def pause(self) -> None:
        self._container.get_wrapped_container().pause()

    def resume(self) -> None:
        self._container.get_wrapped_container().unpause()

    def restart(self) -> None:
        self._container.get_wrapped_container().stop()
        self.start()

    def stop(self) -> None:
        self._container.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
