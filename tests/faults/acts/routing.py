"""A process killed on purpose where it hurts: after it routed records, before the progress and the commit."""

from __future__ import annotations

import time

from forebay.local.process import ChildProcess
from tests.faults.routed import RoutedAgain, RoutedTail, source_passed
from tests.faults.schedule import Step
from tests.faults.site import Site

WATCHED_S = 1.2
"""Per processor, while the others stand still: less than their session."""
TRIED_AGAIN_S = 0.05
"""About as long as a processor waits until it tries refused rows again: it is killed before that, or amid."""


def kill_amid_routing(site: Site, step: Step) -> bool:
    """One processor finds the whole burst, routes it, and dies before it can note that it did.

    Returns:
        False if none had a partition to route from, or it was quicker: its progress or commit was past that record.
    """
    site.at_work()
    with site.processors.standing_still(site.processors.running):
        caught = _caught(site, step)
        if caught is None:
            return False
        process, routed = caught
        time.sleep(step.delay_s * TRIED_AGAIN_S)
        process.kill()
        # Asked while all others stand still: nothing moves.
        hit = not source_passed(site.place, routed.source)
    site.processors.start_again([process], step.down_s)
    if hit:
        site.routed_again.append(routed)
    return hit


def _caught(site: Site, step: Step) -> tuple[ChildProcess, RoutedAgain] | None:
    """The first processor that routes, and what it has routed.

    The store refuses rows until then, and without rows there is no progress.
    """
    with site.store.full():
        tail = RoutedTail(site.place)
        site.events.burst(step.events)
        try:
            for each in site.processors.beginning_with(step.target):
                site.processors.alone(each)
                if routed := tail.first(WATCHED_S):
                    return each, routed
        finally:
            tail.close()
    return None
