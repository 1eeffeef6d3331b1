"""Faults of definitions: the plan changes while processors run."""

from __future__ import annotations

import msgspec

from pipelines.contract.plan import StreamView
from pipelines.contract.plan_file import write_plan
from tests.faults.schedule import Step
from tests.faults.site import Site


def reload(site: Site, step: Step) -> bool:
    """A view gets windows twice as long, or its first ones back; the other views go on."""
    site.burst(step)
    plan = site.place.plan
    at = step.target % len(plan.stream_views)
    first = site.first_plan.stream_views[at]
    changed = _changed(first) if plan.stream_views[at] == first else first
    views = (*plan.stream_views[:at], changed, *plan.stream_views[at + 1 :])
    fingerprint = f"{int(plan.fingerprint, 16) + 1 & (1 << 64) - 1:016x}"
    newer = msgspec.structs.replace(plan, stream_views=views, fingerprint=fingerprint)
    write_plan(newer, site.place.plan_file)
    site.now_runs(newer)
    return True


def _changed(view: StreamView) -> StreamView:
    aggregations = tuple(msgspec.structs.replace(each, window_ms=2 * each.window_ms) for each in view.aggregations)
    return msgspec.structs.replace(view, aggregations=aggregations, fingerprint=view.fingerprint[::-1])
