"""What goes wrong in a run, and when: drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

import enum
import random
from typing import NamedTuple

STEPS = 6
LARGEST_BURST = 160


class Fault(enum.StrEnum):
    """One thing that goes wrong, or just happens."""

    KILL = "kill"
    """A processor, router included, is killed with signal 9 and started again."""
    KILL_ALL = "kill all"
    PAUSE = "pause"
    """A processor stands still for longer than its session lasts, then goes on where it was."""
    ADD = "add"
    REMOVE = "remove"
    """A processor is added, or told to stop: partitions move in order."""
    BROKER = "broker"
    """Kafka is killed and started again."""
    STORE = "store"
    """The store is killed and started again, with all it had acknowledged."""
    ROLLBACK = "rollback"
    """The store is killed and comes back as it was some time before."""
    DUPLICATE = "duplicate"
    """Producers send events again: the same ids in records of their own, which count only beyond the ids' window."""


COSTLY = {Fault.PAUSE, Fault.BROKER}
"""These take many seconds: drawn less often."""


class Step(NamedTuple):
    """Events are published; then, some time later, something goes wrong."""

    events: int
    delay_s: float
    """From the publishing of the events to the fault, so that it hits any step of the work."""
    fault: Fault
    target: int
    """Which of the processors, or of the store's former states, modulo their number."""
    down_s: float
    """How long what was ended stays away."""


def draw(seed: int) -> list[Step]:
    """The schedule of a seed."""
    rng = random.Random(f"faults {seed}")
    weights = [1 if each in COSTLY else 3 for each in Fault]
    return [
        Step(rng.randrange(20, LARGEST_BURST), rng.random(), fault, rng.randrange(8), rng.random())
        for fault in rng.choices(list(Fault), weights, k=STEPS)
    ]
