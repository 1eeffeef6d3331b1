"""Faults of processors: killed, paused, added, removed."""

from __future__ import annotations

import time

from tests.faults.schedule import Step
from tests.faults.site import SESSION_S, Site

PAUSE_S = SESSION_S + 2.0


def kill(site: Site, step: Step) -> bool:
    """Signal 9 at any moment."""
    site.burst(step)
    site.processors.kill_and_start([site.processors.chosen(step.target)], step.down_s)
    return True


def kill_all(site: Site, step: Step) -> bool:
    """No one is left to take over."""
    site.burst(step)
    site.processors.kill_and_start(site.processors.running, step.down_s)
    return True


def pause(site: Site, step: Step) -> bool:
    """It wakes up believing that it still has its partitions."""
    site.burst(step)
    with site.processors.standing_still([site.processors.chosen(step.target)]):
        time.sleep(PAUSE_S)
    return True


def add(site: Site, step: Step) -> bool:
    """Partitions move to the new one."""
    site.burst(step)
    site.processors.add()
    return True


def remove(site: Site, step: Step) -> bool:
    """Partitions move from one that finishes its batch; False for the last one."""
    site.burst(step)
    if len(site.processors.running) == 1:
        return False
    site.processors.remove(site.processors.chosen(step.target))
    return True
