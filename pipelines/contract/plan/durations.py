"""Durations in text: a whole number and its unit."""

from __future__ import annotations

UNIT_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
"""From the largest to the smallest."""


def duration_text(milliseconds: int) -> str:
    """Returns a duration in the largest unit that divides it: `90m`, `1d`; `0s` for none."""
    if not milliseconds:
        return "0s"
    unit, unit_ms = next((unit, unit_ms) for unit, unit_ms in UNIT_MS.items() if milliseconds % unit_ms == 0)
    return f"{milliseconds // unit_ms}{unit}"
