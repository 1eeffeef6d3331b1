"""Whether something that was sampled over time is flat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.shared.rate import MeasurementError

_HOUR_S = 3_600.0


class Trend(NamedTuple):
    """The second half of some samples; the first is warm-up."""

    mean: float
    slope_per_hour: float
    """Of the least-squares line."""
    growth: float
    """What the line rises over the half, as a share of the mean."""


def trend_of(at_s: Sequence[float], values: Sequence[float]) -> Trend:
    """The trend of the second half of the time.

    Raises:
        MeasurementError: fewer than three samples lie in it.
    """
    times, sampled = np.asarray(at_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    late = times >= (times[0] + times[-1]) / 2 if len(times) else np.zeros(0, dtype=bool)
    if late.sum() < 3:
        raise MeasurementError(f"{len(times)} samples are too few for a trend: give more time (--minutes)")
    times, sampled = times[late], sampled[late]
    per_s = float(np.polyfit(times - times[0], sampled, 1)[0])
    mean = float(sampled.mean())
    return Trend(mean, per_s * _HOUR_S, per_s * float(times[-1] - times[0]) / mean if mean else 0.0)
