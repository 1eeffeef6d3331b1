"""Faults of the store: killed, rolled back, full, cut off, standing still."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.faults.schedule import Step
from tests.faults.site import Site

MET = ("batch delayed", "waiting for the store")
"""What a processor says when the store failed it in the middle of a batch, or of taking over partitions."""

MET_WITHIN_S = 8.0
"""How long a fault lasts that no processor has met: they may be starting, or wait for a dead one's session to end."""
BETWEEN_CUTS_S = 0.02
TOLD_WITHIN_S = 0.2
"""From a lost connection to what a processor says of it."""
LONGEST_STALL_S = 7.0
"""More than the 5 s that a processor waits for an answer."""


def restart(site: Site, step: Step) -> bool:
    """With all that it acknowledged."""
    site.burst(step)
    site.store.restart(step.down_s)
    return True


def rollback(site: Site, step: Step) -> bool:
    """Rows and progress are what they were before this burst, or before a former one."""
    site.burst(step)
    site.store.restart(step.down_s, back=1 + step.target % site.store.remembered)
    return True


def full(site: Site, step: Step) -> bool:
    """It begins amid one half of the burst and lasts through the other; False if no one met it."""
    before = site.processors.said(*MET)
    site.burst(step._replace(events=step.events // 2))
    with site.store.full():
        site.events.burst(step.events - step.events // 2)
        return _lasts_until_met(site, step, before)


def cut(site: Site, step: Step) -> bool:
    """From the burst on, again and again; False if no one met it."""
    before = site.processors.said(*MET)
    site.events.burst(step.events)
    return _lasts_until_met(site, step, before, meanwhile=site.store.cut)


def stall(site: Site, step: Step) -> bool:
    """What was sent to it is done late, and no one is told: its client has given it up, or loses its connection.

    Returns:
        False if no one met it.
    """
    site.at_work()
    before = site.processors.said(*MET)
    with site.store.stalled():
        site.burst(step)
        time.sleep(step.down_s * LONGEST_STALL_S)
    time.sleep(TOLD_WITHIN_S)
    return site.processors.said(*MET) > before


def _lasts_until_met(site: Site, step: Step, before: int, meanwhile: Callable[[], object] = lambda: None) -> bool:
    """Until someone met it, and as long again as the step says; whether someone did."""
    deadline = time.monotonic() + MET_WITHIN_S
    met = False
    while time.monotonic() < deadline:
        meanwhile()
        time.sleep(BETWEEN_CUTS_S)
        if not met and site.processors.said(*MET) > before:
            met, deadline = True, time.monotonic() + step.down_s
    return met
