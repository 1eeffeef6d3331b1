"""Faults of the store: killed, rolled back, full, cut off, standing still."""

from __future__ import annotations

import time

from tests.faults.schedule import Step
from tests.faults.site import Site

DELAYED = "batch delayed"
"""What a processor says when the store failed it in the middle of a batch."""

BETWEEN_CUTS_S = 0.02
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
    """It begins amid one half of the burst and lasts through the other; False if no batch met it."""
    before = site.processors.said(DELAYED)
    site.burst(step._replace(events=step.events // 2))
    with site.store.full():
        site.events.burst(step.events - step.events // 2)
        time.sleep(step.down_s + 0.5)
    return site.processors.said(DELAYED) > before


def cut(site: Site, step: Step) -> bool:
    """From the burst on, for as long as it may be worked on; False if no batch met it."""
    before = site.processors.said(DELAYED)
    site.events.burst(step.events)
    deadline = time.monotonic() + step.down_s + 0.5
    while time.monotonic() < deadline:
        site.store.cut()
        time.sleep(BETWEEN_CUTS_S)
    return site.processors.said(DELAYED) > before


def stall(site: Site, step: Step) -> bool:
    """What was sent to it is done late, when its client has given it up or lost its connection."""
    before = site.processors.said(DELAYED)
    site.burst(step)
    with site.store.standing_still():
        site.events.burst(step.events)
        time.sleep(step.down_s * LONGEST_STALL_S)
    site.store.cut()
    return site.processors.said(DELAYED) > before
