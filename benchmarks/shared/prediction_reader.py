"""Reads a prediction topic as its users would, and notes when each prediction arrived."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from confluent_kafka import Consumer, TopicPartition

from benchmarks.shared.events import PARTITIONS
from benchmarks.shared.rate import MeasurementError
from benchmarks.shared.schedule import now_us

_POLL_S = 0.1
_CHECK_EVERY_S = 0.05


class Arrival(NamedTuple):
    """One prediction, undecoded: decoding waits until the measurement is over."""

    received_us: int
    value: bytes


class PredictionReader:
    """A read_committed consumer in a thread of its own, while entered."""

    def __init__(self, brokers: str, topic: str) -> None:
        self.arrivals: list[Arrival] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "benchmark",  # the client asks for one; partitions are assigned by hand
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, name="predictions", daemon=True)

    def wait_for(self, count: int, seconds: float, check_running: Callable[[], None]) -> None:
        """Returns once so many predictions have arrived since the start.

        Args:
            check_running: raises if a process that predictions come from has ended.

        Raises:
            MeasurementError: they did not in time.
        """
        deadline = time.monotonic() + seconds
        while len(self.arrivals) < count:
            check_running()
            if time.monotonic() > deadline:
                raise MeasurementError(f"{len(self.arrivals)} of {count} predictions arrived within {seconds:g} s")
            time.sleep(_CHECK_EVERY_S)

    def _read(self) -> None:
        while not self._stopping.is_set():
            message = self._consumer.poll(_POLL_S)
            # An error delays predictions or loses them: `wait_for` notices both.
            if message is not None and message.error() is None:
                self.arrivals.append(Arrival(now_us(), message.value()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()
