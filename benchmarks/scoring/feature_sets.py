"""What is scored: 24 or 48 windowed features of a card, and a model that adds them up."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.shared.plans import EIGHT_BY_THREE, EIGHT_FUNCTIONS, HOUR_MS, MINUTE_MS
from forebay.pipelines.contract.plan.views import Aggregation

_EIGHT_BY_SIX = tuple(
    Aggregation(f"amount_{function}_{name}", "amount", function, window_ms, slide_ms)
    for name, window_ms, slide_ms in (
        ("5m", 5 * MINUTE_MS, MINUTE_MS),
        ("30m", 30 * MINUTE_MS, 5 * MINUTE_MS),
        ("1h", HOUR_MS, 5 * MINUTE_MS),
        ("6h", 6 * HOUR_MS, HOUR_MS),
        ("1d", 24 * HOUR_MS, HOUR_MS),
        ("3d", 72 * HOUR_MS, 6 * HOUR_MS),
    )
    for function in EIGHT_FUNCTIONS
)

FEATURE_SETS: dict[int, Sequence[Aggregation]] = {24: EIGHT_BY_THREE, 48: _EIGHT_BY_SIX}
"""By number of features: eight functions over three and over six windows."""
