"""The router killed on purpose where it hurts: after producing, before the progress and the commit."""

from __future__ import annotations

from tests.faults.routed import RoutedTail, source_passed
from tests.faults.schedule import Step
from tests.faults.site import Site

WATCHED_S = 2.5
"""Less than the session of those that stand still meanwhile."""


def kill_router(site: Site, step: Step) -> bool:
    """One processor finds the whole burst, and dies as soon as a record that it routed is in Kafka.

    Returns:
        False if it had no partition to route from, or its progress or commit was past that record already.
    """
    chosen = site.processors.chosen(step.target)
    others = [each for each in site.processors.running if each is not chosen]
    with site.processors.standing_still(others):
        with site.processors.standing_still([chosen]):
            tail = RoutedTail(site.place)
            site.events.burst(step.events)
        routed = tail.first(WATCHED_S)
        tail.close()
        if routed is None:
            return False
        chosen.kill()
        # Asked while all others stand still: nothing moves.
        hit = not source_passed(site.place, site.deployment.process_group, routed.source)
    site.processors.start_again([chosen], step.down_s)
    if hit:
        site.routed_again.append(routed)
    return hit
