"""How times are summed up, the same for every benchmark that measures some."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.shared.rate import MeasurementError


class Percentiles(NamedTuple):
    """Of times in milliseconds."""

    p50: float
    p90: float
    p99: float
    max: float

    def cells(self) -> list[str]:
        """For a table."""
        return [f"{value:.1f}" for value in self]


def percentiles_of(times_us: npt.ArrayLike) -> Percentiles:
    """Of times in microseconds, interpolated between neighbours.

    Raises:
        MeasurementError: there are none.
    """
    times_ms = np.asarray(times_us) / 1e3
    if not times_ms.size:
        raise MeasurementError("nothing was measured after the warm-up: give more seconds")
    p50, p90, p99, longest = np.percentile(times_ms, (50, 90, 99, 100)).tolist()
    return Percentiles(p50, p90, p99, longest)
