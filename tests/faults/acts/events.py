"""What producers do to events."""

from __future__ import annotations

from tests.faults.schedule import Step
from tests.faults.site import Site


def duplicate(site: Site, step: Step) -> bool:
    """Half of the burst before comes again."""
    site.events.burst_with_duplicates(step.events)
    return True


def reorder(site: Site, step: Step) -> bool:
    """Batches overtake each other; False if no event came after a later one of its partition."""
    return site.events.burst_out_of_order(step.events)
