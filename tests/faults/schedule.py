"""What goes wrong in a run, when, and how it ends: drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

import enum
import random
from typing import NamedTuple

STEPS = 6
LARGEST_BURST = 160


class Fault(enum.StrEnum):
    """One thing that goes wrong, or just happens. What is done is in `acts`, one function for each."""

    KILL = "kill"
    """A processor is killed with signal 9 and started again."""
    KILL_ALL = "kill all"
    KILL_AMID_ROUTING = "kill amid routing"
    """A processor is killed when its first routed records of a batch are in Kafka, its progress not yet."""
    PAUSE = "pause"
    """A processor stands still for longer than its session lasts, then goes on where it was."""
    ADD = "add"
    REMOVE = "remove"
    """A processor is added, or told to stop: partitions move in order."""
    RELOAD = "reload"
    """The plan is replaced by one in which a view has other windows; it is taken over while the others go on."""
    BROKER = "broker"
    """Kafka is killed and started again."""
    BROKER_STALL = "broker stall"
    """Kafka stands still for longer than its own session, its connections open, on a busy machine."""
    STORE = "store"
    """The store is killed and started again, with all it had acknowledged."""
    ROLLBACK = "rollback"
    """The store is killed and comes back as it was some time before."""
    STORE_FULL = "store full"
    """The store refuses writes for a while, and answers everything else."""
    STORE_CUT = "store cut"
    """All connections to the store are cut while it works, again and again."""
    STORE_STALL = "store stall"
    """The store stands still, at times for longer than its clients wait, and then cuts all connections."""
    DUPLICATE = "duplicate"
    """Producers send events again: the same ids in records of their own, which count only beyond the ids' window."""
    REORDER = "reorder"
    """Batches of a producer that fails and retries overtake each other; some come amid the burst after."""


COSTLY = {Fault.PAUSE, Fault.BROKER, Fault.BROKER_STALL, Fault.STORE_STALL}
"""These take many seconds: drawn less often."""


class Ending(enum.StrEnum):
    """What is done to a topic once all is processed and nothing runs: to be refused, and repaired as told."""

    SOURCE_ANEW = "source topic deleted and created"
    SOURCE_GROWN = "source topic given more partitions"
    ROUTED_ANEW = "routed topic deleted and created"
    ROUTED_GROWN = "routed topic given more partitions"
    NOT_RETAINED = "records deleted beyond the progress"


ENDINGS_IN = 2
"""One seed in so many has such an ending."""


TRANSACTIONS_IN = 2
"""In one seed of so many the producer of events writes in transactions."""


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


class Schedule(NamedTuple):
    """All that a seed draws beside its events."""

    steps: list[Step]
    ending: Ending | None


def transactions(seed: int) -> random.Random | None:
    """What draws the transactions of a seed whose producer writes in some, and aborts some; None: it does not.

    Drawn apart from the schedule, which stays the same.
    """
    rng = random.Random(f"transactions {seed}")
    return rng if rng.randrange(TRANSACTIONS_IN) == 0 else None


def draw(seed: int) -> Schedule:
    """The schedule of a seed."""
    rng = random.Random(f"faults {seed}")
    weights = [1 if each in COSTLY else 3 for each in Fault]
    steps = [
        # Most of a burst is done within 0.2 s: the shorter delays are the more likely ones.
        Step(rng.randrange(20, LARGEST_BURST), rng.random() ** 2, fault, rng.randrange(8), rng.random())
        for fault in rng.choices(list(Fault), weights, k=STEPS)
    ]
    return Schedule(steps, rng.choice(list(Ending)) if rng.randrange(ENDINGS_IN) == 0 else None)
