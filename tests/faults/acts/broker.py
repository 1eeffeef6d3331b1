"""Faults of the broker."""

from __future__ import annotations

import time

from tests.faults.broken import harness
from tests.faults.schedule import Step
from tests.faults.site import SESSION_S, Site

LONGEST_STALL_S = 2.0 * SESSION_S
"""The sessions of all processors may end meanwhile."""


def restart(site: Site, step: Step) -> bool:
    """Killed, with its groups, fetches and deliveries under way."""
    site.burst(step)
    site.broker.kill()
    time.sleep(step.down_s)
    with harness("starting the broker"):
        site.broker.start()
    return True


def stall(site: Site, step: Step) -> bool:
    """It stands still, and then does what was sent to it."""
    site.burst(step)
    site.broker.pause()
    try:
        time.sleep(step.down_s * LONGEST_STALL_S)
    finally:
        site.broker.resume()
    return True
