"""Plans that come after another one, with another definition of a view."""

from __future__ import annotations

import random

import msgspec

from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.plan_file import write_plan
from forebay.pipelines.contract.plan.views import StreamView
from tests.e2e.deployment import Place

PUBLISH_EVERY_MS = (0, 1_000, 2_000)
"""Drawn for each view: with every batch, or at most so often."""


def with_drawn_publishing(place: Place, seed: int) -> Place:
    """The place, where a seed has drawn how often each view is published. To be called before anything runs there."""
    rng = random.Random(f"publish {seed}")
    views = tuple(
        msgspec.structs.replace(view, publish_every_ms=rng.choice(PUBLISH_EVERY_MS)) for view in place.plan.stream_views
    )
    plan = msgspec.structs.replace(place.plan, stream_views=views)
    write_plan(plan, place.plan_file)
    return place._replace(plan=plan)


def with_longer_windows(plan: Plan, target: int) -> Plan:
    """The plan, with windows twice as long in one of its views.

    Args:
        target: which, modulo their number.
    """
    at = target % len(plan.stream_views)
    views = (*plan.stream_views[:at], longer(plan.stream_views[at]), *plan.stream_views[at + 1 :])
    return msgspec.structs.replace(plan, stream_views=views)


def longer(view: StreamView) -> StreamView:
    """The view with windows twice as long, and published with every batch if it was not, or else more seldom."""
    aggregations = tuple(msgspec.structs.replace(each, window_ms=2 * each.window_ms) for each in view.aggregations)
    return msgspec.structs.replace(
        view,
        aggregations=aggregations,
        fingerprint=view.fingerprint[::-1],
        publish_every_ms=0 if view.publish_every_ms else PUBLISH_EVERY_MS[-1],
    )


def next_fingerprint(plan: Plan) -> str:
    """Of the plan that follows."""
    return f"{int(plan.fingerprint, 16) + 1 & (1 << 64) - 1:016x}"
