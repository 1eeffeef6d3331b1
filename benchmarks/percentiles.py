"""How times are summed up, the same for every benchmark that measures some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.rate import MeasurementError


class Percentiles(NamedTuple):
    """Of times in milliseconds."""

    p50: float
    p90: float
    p99: float
    max: float

    def cells(self) -> list[str]:
        """For a table."""
        return [f"{value:.1f}" for value in self]


def percentiles_of(times_us: Sequence[int]) -> Percentiles:
    """Of times in microseconds, interpolated between neighbours.

    Raises:
        MeasurementError: there are none.
    """
    if not len(times_us):
        raise MeasurementError("nothing was measured after the warm-up: give more seconds")
    times_ms = np.array(times_us) / 1e3
    p50, p90, p99, longest = np.percentile(times_ms, (50, 90, 99, 100)).tolist()
    return Percentiles(p50, p90, p99, longest)
