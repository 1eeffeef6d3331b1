"""Derives from the plan which topics exist, who reads them, and how a record finds its partition."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from forebay.pipelines.contract.plan.definition import definition
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.sources import Source
from forebay.pipelines.contract.plan.views import JoinKey, StreamView


class Route(NamedTuple):
    """A re-keying of a source topic for the entities its own key does not keep together."""

    topic: str
    """The routed topic: `<project>.<entity>.<source topic>`."""
    join_keys: tuple[JoinKey, ...]


class Feed(NamedTuple):
    """A topic the feature processor reads."""

    topic: str
    source: Source
    routed: bool
    """Read from a routed topic: records carry their source position in a header."""
    views: tuple[StreamView, ...]
    """Views computed from this topic."""
    routes: tuple[Route, ...]
    """Topics this one is re-keyed into; empty for a routed topic."""
    routed_views: tuple[str, ...] = ()
    """Names of the views computed from those."""
    routed_definitions: tuple[str, ...] = ()
    """Of the same views, as `definition` names them."""


def is_direct(source: Source, view: StreamView) -> bool:
    """Returns whether the topic already keeps all records of an entity in one partition."""
    return bool(source.key) and set(source.key) <= {key.name for key in view.join_keys}


def route_for(project: str, source: Source, view: StreamView) -> Route:
    """Returns the route that serves this view."""
    entity = "_".join(key.name for key in view.join_keys)
    return Route(routed_topic(project, entity, source.topic), view.join_keys)


def view_topic(plan: Plan, view: StreamView) -> str:
    """Returns the topic a view is computed from: its source's own, or the routed one."""
    source = plan.source(view.source)
    return source.topic if is_direct(source, view) else route_for(plan.project, source, view).topic


def feeds(plan: Plan, routed_elsewhere: Collection[str] = ()) -> list[Feed]:
    """Returns every topic the feature processor reads, source topics first.

    Args:
        routed_elsewhere: routed topics that another process fills.
    """
    direct, routed = [], []
    for source in plan.sources:
        views = [view for view in plan.stream_views if view.source == source.name and view.online]
        if not views:
            continue
        by_route: dict[Route, list[StreamView]] = {}
        for view in views:
            if not is_direct(source, view):
                by_route.setdefault(route_for(plan.project, source, view), []).append(view)
        own = tuple(view for view in views if is_direct(source, view))
        others = tuple(view for view in views if view not in own)
        routes = tuple(route for route in by_route if route.topic not in routed_elsewhere)
        if own or routes:
            names = tuple(view.name for view in others)
            direct.append(Feed(source.topic, source, False, own, routes, names, tuple(map(definition, others))))
        routed += [Feed(route.topic, source, True, tuple(each), ()) for route, each in by_route.items()]
    return direct + routed


def routed_topic(project: str, entity: str, topic: str) -> str:
    """Names the topic into which a source topic is re-keyed for an entity, given by its join keys."""
    return f"{project}.{entity}.{topic}"


def dead_letter_topic(topic: str) -> str:
    """Names the topic of records that can't be used."""
    return f"{topic}.dlq"


def unscored_topic(output: str) -> str:
    """Names the topic of events that a policy refuses to score, given the prediction topic."""
    return f"{output}.unscored"


def shadow_topic(output: str) -> str:
    """Names the topic of what models in the shadow say, given the prediction topic."""
    return f"{output}.shadow"


def output_topics(output: str) -> list[str]:
    """Names all topics that a worker writes beside dead letters, given the prediction topic."""
    return [output, unscored_topic(output), shadow_topic(output), unscored_topic(shadow_topic(output))]


def late_topic(topic: str) -> str:
    """Names the topic of events that come too late for a view."""
    return f"{topic}.late"
