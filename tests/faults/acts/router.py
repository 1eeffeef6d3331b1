"""The router killed on purpose where it hurts: after producing, before the progress and the commit."""

from __future__ import annotations

import time

from tests.faults.routed import RoutedTail, source_passed
from tests.faults.schedule import Step
from tests.faults.site import Site

WATCHED_S = 2.5
"""Less than the session of those that stand still meanwhile."""
WRITING_S = 0.003
"""About as long as the rows of a small batch take: it is killed before the first of them, or amid."""


def kill_router(site: Site, step: Step) -> bool:
    """One processor finds the whole burst, routes it, and dies before it can note that it did.

    The store stands still until the first routed record is in Kafka: without rows written there is no progress.

    Returns:
        False if it had no partition to route from, or was quicker: its progress or commit was past that record.
    """
    site.at_work()
    chosen = site.processors.chosen(step.target)
    others = [each for each in site.processors.running if each is not chosen]
    with site.processors.standing_still(others):
        with site.store.standing_still():
            with site.processors.standing_still([chosen]):
                tail = RoutedTail(site.place)
                site.events.burst(step.events)
            routed = tail.first(WATCHED_S)
            tail.close()
        if routed is None:
            return False
        time.sleep(step.delay_s * WRITING_S)
        chosen.kill()
        # Asked while all others stand still: nothing moves.
        hit = not source_passed(site.place, site.deployment.process_group, routed.source)
    site.processors.start_again([chosen], step.down_s)
    if hit:
        site.routed_again.append(routed)
    return hit
