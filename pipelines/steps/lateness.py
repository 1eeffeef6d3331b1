"""Late: which events come too late, judged by the watermark of the partition they were produced to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forebay.pipelines.steps.arrays import Ints


def watermarks(event_ms: Ints, before_ms: int) -> Ints:
    """Finds the watermark that each event is judged by: the highest event time before it in its partition.

    Args:
        event_ms: shape (n,), in partition order.
        before_ms: the watermark before the first of them.

    Returns:
        Shape (n + 1,); the last entry is the watermark after all of them.
    """
    return np.maximum.accumulate(np.concatenate(([np.int64(before_ms)], event_ms)))


def too_late(event_ms: Ints, watermark_ms: Ints, allowed_ms: int) -> npt.NDArray[np.bool_]:
    """Marks the events that are more than `allowed_ms` behind their watermark, shape (n,)."""
    return event_ms < watermark_ms - allowed_ms
