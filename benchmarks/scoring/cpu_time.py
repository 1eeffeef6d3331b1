"""The processor time that a worker takes for its predictions."""

from __future__ import annotations

import psutil

from benchmarks.shared.rate import MeasurementError
from forebay.local.process import ChildProcess


class CpuTime:
    """Of one process, from its first prediction to the last look."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None

    def look(self, predictions: int) -> None:
        """Takes note of how much it has done so far, and in which time."""
        if predictions:
            times = psutil.Process(self._process.pid).cpu_times()
            self._last = (predictions, times.user + times.system)
            self._first = self._first or self._last

    def per_prediction_us(self) -> float:
        """Microseconds.

        Raises:
            MeasurementError: it made all predictions between two looks.
        """
        if self._first is None or self._last is None or self._first[0] == self._last[0]:
            raise MeasurementError("all predictions came between two looks: give more (--events)")
        return (self._last[1] - self._first[1]) * 1e6 / (self._last[0] - self._first[0])
