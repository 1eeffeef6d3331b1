"""Parts of an explanation as text: times, values, effects, the verdict."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from forebay.explain.explanation import Explanation


def utc(ms: int) -> str:
    """Formats a time, to the millisecond where it has any."""
    text = datetime.fromtimestamp(ms / 1e3, UTC).isoformat(
        sep=" ", timespec="milliseconds" if ms % 1_000 else "seconds"
    )
    return text.replace("+00:00", "Z")


def number(value: Any) -> str:
    """Formats a value for people."""
    return "null" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def effect(effects: dict[str, float] | None) -> str:
    """Words how the scores change when something is taken away."""
    if effects is None:
        return "-"
    return ", ".join(f"{name} {0.0 - change:+.4g}" for name, change in effects.items())


def verdict(explanation: Explanation) -> str:
    """Words whether scores and features, folded again from the records, are those of the prediction."""
    scores = "scores have the same bits" if explanation.same_scores else "scores DIFFER"
    if explanation.same_features is None:
        return f"{scores}; the prediction carries no features to compare"
    return f"{scores}; features {'have the same bits' if explanation.same_features else 'DIFFER'}"
