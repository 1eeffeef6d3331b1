"""A worker that runs on a thread, on the fake broker or on Apache Kafka."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from forebay.serving.worker.clients import Clients
from forebay.serving.worker.loop import Worker
from forebay.serving.worker.outgoing import OutgoingRecord
from forebay.serving.worker.settings import WorkerSettings
from tests.support.cluster import Cluster

END_S = 20.0


class RunningWorker:
    """One worker, until the context ends; what ended it before is raised then."""

    def __init__(self, settings: WorkerSettings, score: Any, clients: Clients) -> None:
        self.worker = Worker(settings, score, clients)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.worker.run()
        except Exception as error:
            self._error = error

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return not self._thread.is_alive()

    def __enter__(self) -> RunningWorker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.stop()
        self._thread.join(END_S)
        assert self.ended, f"the worker did not end within {END_S:g} s"
        if self._error is not None:
            raise self._error


def clients_of(cluster: Cluster) -> Clients:
    """What makes clients of this broker; its address is in the settings only."""
    return Clients(cluster.consumer, cluster.producer, cluster.topics)


def echo_to(output: str) -> Any:
    """Scores an event as its own payload."""

    def echo(messages: Sequence[Any]) -> list[OutgoingRecord]:
        return [OutgoingRecord(output, each.key(), each.value(), []) for each in messages]

    return echo
