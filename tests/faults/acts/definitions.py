"""Faults of definitions: the plan changes while processors run."""

from __future__ import annotations

import msgspec

from forebay.pipelines.contract.plan.plan_file import write_plan
from tests.faults.changed import longer, next_fingerprint
from tests.faults.schedule import Step
from tests.faults.site import Site


def reload(site: Site, step: Step) -> bool:
    """A view gets windows twice as long, or its first ones back; the other views go on."""
    site.burst(step)
    plan = site.place.plan
    at = step.target % len(plan.stream_views)
    first = site.first_plan.stream_views[at]
    changed = longer(first) if plan.stream_views[at] == first else first
    views = (*plan.stream_views[:at], changed, *plan.stream_views[at + 1 :])
    newer = msgspec.structs.replace(plan, stream_views=views, fingerprint=next_fingerprint(plan))
    write_plan(newer, site.place.plan_file)
    site.now_runs(newer)
    return True
