"""What goes wrong while events are scored, and when: drawn from a seed."""

from __future__ import annotations

import enum
import random
from typing import NamedTuple

FAULTS = 5


class Fault(enum.StrEnum):
    """One thing that goes wrong."""

    KILL = "kill"
    """A process is killed with signal 9, and started again."""
    STOP = "stop"
    """A process is told to stop, and started again."""
    PAUSE = "pause"
    """A process stands still, perhaps beyond its session, and goes on where it was."""
    STORE_STALL = "store stall"
    """The store stands still, perhaps for longer than its clients wait."""
    BEHIND = "behind"
    """All workers are told to stop, and started again when the processor is far ahead of them."""
    RELOAD = "reload"
    """The plan is replaced by one in which a view has other windows, or has its first ones back: the processor computes
    it anew, and workers take it over once it is published."""
    BROKER_STALL = "broker stall"
    """Kafka stands still for longer than its own session lasts: its controller may fence it, and for a while its
    metadata may name no broker, or partitions without a leader."""


LASTS_S = {
    Fault.KILL: (0.0, 2.0),
    Fault.STOP: (0.0, 2.0),
    Fault.PAUSE: (2.0, 8.0),
    Fault.STORE_STALL: (1.0, 7.0),
    Fault.BEHIND: (2.0, 8.0),
    Fault.RELOAD: (8.0, 16.0),
    Fault.BROKER_STALL: (4.0, 12.0),
}
"""From the fault to the moment it is over: the shortest and the longest."""

WEIGHTS = {
    Fault.KILL: 3,
    Fault.STOP: 2,
    Fault.PAUSE: 1,
    Fault.STORE_STALL: 1,
    Fault.BROKER_STALL: 2,
    Fault.BEHIND: 2,
    Fault.RELOAD: 2,
}


class Step(NamedTuple):
    """Some time after the step before, something goes wrong."""

    after_s: float
    fault: Fault
    target: int
    """Which of the processes, or of the views, modulo their number."""
    lasts_s: float


def draw(seed: int) -> list[Step]:
    """The schedule of a seed; at least one step is a broker stall."""
    rng = random.Random(f"scoring {seed}")
    faults = rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=FAULTS - 1)
    faults.insert(rng.randrange(FAULTS), Fault.BROKER_STALL)
    return [Step(rng.uniform(0.5, 3.0), fault, rng.randrange(6), rng.uniform(*LASTS_S[fault])) for fault in faults]
