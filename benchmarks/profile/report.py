"""What the profile reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from benchmarks.profile.stacks import OUTSIDE, STEPS, Place
from benchmarks.shared.report import Table

SHOWN_FUNCTIONS = 15


class ProfileRow(msgspec.Struct, frozen=True):
    """One function's own time in one step, on one workload."""

    workload: str
    step: str
    function: str
    samples: int
    share: float
    """Of the workload's samples in which the thread had something to do."""


def profile_rows(workload: str, counts: Counter[Place]) -> list[ProfileRow]:
    """Most time first."""
    seen = sum(counts.values())
    return [
        ProfileRow(workload, place.step, place.function, count, count / seen) for place, count in counts.most_common()
    ]


def step_table(rows: Sequence[ProfileRow]) -> Table:
    """One line per step, in the order of the walk; one column per workload."""
    workloads = list(dict.fromkeys(row.workload for row in rows))
    lines = []
    for step in (*STEPS, OUTSIDE):
        shares = [sum(row.share for row in rows if (row.workload, row.step) == (each, step)) for each in workloads]
        lines.append([step, *(f"{share:.1%}" for share in shares)])
    return Table(["step", *workloads], lines)


def function_table(rows: Sequence[ProfileRow]) -> Table:
    """The functions with the most time of one workload."""
    lines = [[f"`{row.function}`", row.step, f"{row.share:.1%}", f"{row.samples:,}"] for row in rows[:SHOWN_FUNCTIONS]]
    return Table(["function", "step", "own time", "samples"], lines, text_columns=2)
