"""Which topics exist, who reads them, and how a record finds its partition: derived from the plan."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import mmh3
import msgspec

from pipelines.contract.plan import JoinKey, Plan, Source, StreamView


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
    """Whether the topic already keeps all records of an entity in one partition."""
    return bool(source.key) and set(source.key) <= {key.name for key in view.join_keys}


def route_for(project: str, source: Source, view: StreamView) -> Route:
    """The route that serves this view."""
    entity = "_".join(key.name for key in view.join_keys)
    return Route(f"{project}.{entity}.{source.topic}", view.join_keys)


def view_topic(plan: Plan, view: StreamView) -> str:
    """The topic a view is computed from: its source's own, or the routed one."""
    source = plan.source(view.source)
    return source.topic if is_direct(source, view) else route_for(plan.project, source, view).topic


def feeds(plan: Plan, routed_elsewhere: Collection[str] = ()) -> list[Feed]:
    """Every topic the feature processor reads, source topics first.

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


def routing_key(values: Sequence[Any]) -> bytes:
    """The Kafka key of a routed record: a JSON list of the join key values."""
    return msgspec.json.encode(list(values))


def routed_partition(key: bytes, partitions: int) -> int:
    """The partition of a routed record. Explicit, so that the scorer can name it too."""
    return int(mmh3.hash(key, signed=False)) % partitions


def dead_letter_topic(topic: str) -> str:
    """Where records go that can't be used."""
    return f"{topic}.dlq"


def late_topic(topic: str) -> str:
    """Where events go that come too late for a view."""
    return f"{topic}.late"


def progress_key(project: str, topic: str, partition: int) -> bytes:
    """The Redis hash that keeps the progress of all views on one partition."""
    return f"forebay:progress:{project}:{topic}:{partition}".encode()


def progress_keys(project: str, topic: str) -> bytes:
    """The glob pattern of those hashes, for all partitions."""
    return glob_literal(f"forebay:progress:{project}:{topic}:") + b"*"


def removed_key(project: str) -> bytes:
    """The Redis hash that says, per definition of a view (`progress_field`), which rows may have been removed.

    A field is a time in ms: rows whose newest event is earlier may be absent because they expired.
    """
    return f"forebay:removed:{project}".encode()


def glob_literal(text: str) -> bytes:
    """The text as a Redis glob pattern that matches nothing else."""
    return "".join(f"\\{each}" if each in "*?[]\\^-" else each for each in text).encode()


def definition(view: StreamView) -> str:
    """Names a view's present definition. A changed one is computed anew, from all that Kafka retains."""
    return f"{view.name}@{view.fingerprint}"


def progress_field(view: StreamView) -> bytes:
    """The field of that hash that belongs to a view's present definition."""
    return definition(view).encode()


def is_progress_of(field: bytes, view: StreamView) -> bool:
    """Whether a field of that hash is the progress of a view, whatever its definition was."""
    return field.rpartition(b"@")[0] == view.name.encode()


_ROUTE = b"route:"


def tells_progress(field: bytes) -> bool:
    """Whether a field of that hash is the progress of a view or a route.

    Releases before this one kept there, as `published:<view>`, what was published: it is read by nobody any more.
    """
    return field.startswith(_ROUTE) or b"@" in field


def route_field(route: Route) -> bytes:
    """The field of a source topic's hash that says how far it has been re-keyed into a routed topic."""
    return _ROUTE + route.topic.encode()
