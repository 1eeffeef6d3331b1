"""Faults of the broker."""

from __future__ import annotations

import os
import time

from tests.faults.broken import harness
from tests.faults.load import busy
from tests.faults.schedule import Step
from tests.faults.site import Site

SHORTEST_STALL_S, LONGEST_STALL_S = 4.0, 12.0
"""Longer than the broker's session with its controller, which may fence it: its metadata may then name no broker, or no
leaders, for a while. The sessions of all processors end meanwhile."""

STILL_BUSY_S = 3.0
"""How long the machine stays busy afterwards: the while is longer then."""


def restart(site: Site, step: Step) -> bool:
    """Killed, with its groups, fetches and deliveries under way."""
    site.burst(step)
    site.broker.kill()
    time.sleep(step.down_s)
    with harness("starting the broker"):
        site.broker.start()
    return True


def stall(site: Site, step: Step) -> bool:
    """It stands still on a busy machine, and then does what was sent to it."""
    site.burst(step)
    with busy(os.cpu_count() or 1):
        site.broker.pause()
        try:
            time.sleep(SHORTEST_STALL_S + step.down_s * (LONGEST_STALL_S - SHORTEST_STALL_S))
        finally:
            site.broker.resume()
        time.sleep(STILL_BUSY_S)
    return True
