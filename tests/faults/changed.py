"""Plans that come after another one, with another definition of a view."""

from __future__ import annotations

import msgspec

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.views import StreamView


def with_longer_windows(plan: Plan, target: int) -> Plan:
    """The plan, with windows twice as long in one of its views.

    Args:
        target: which, modulo their number.
    """
    at = target % len(plan.stream_views)
    views = (*plan.stream_views[:at], longer(plan.stream_views[at]), *plan.stream_views[at + 1 :])
    return msgspec.structs.replace(plan, stream_views=views)


def longer(view: StreamView) -> StreamView:
    """The view with windows twice as long."""
    aggregations = tuple(msgspec.structs.replace(each, window_ms=2 * each.window_ms) for each in view.aggregations)
    return msgspec.structs.replace(view, aggregations=aggregations, fingerprint=view.fingerprint[::-1])


def next_fingerprint(plan: Plan) -> str:
    """Of the plan that follows."""
    return f"{int(plan.fingerprint, 16) + 1 & (1 << 64) - 1:016x}"
