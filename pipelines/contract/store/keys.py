"""Forebay's own keys and fields in Redis."""

from __future__ import annotations

from forebay.pipelines.contract.kafka.topics import Route
from forebay.pipelines.contract.plan.definition import definition
from forebay.pipelines.contract.plan.views import StreamView


def progress_key(project: str, topic: str, partition: int) -> bytes:
    """Returns the Redis hash that keeps the progress of all views on one partition."""
    return f"forebay:progress:{project}:{topic}:{partition}".encode()


def progress_keys(project: str, topic: str) -> bytes:
    """Returns the glob pattern of those hashes, for all partitions."""
    return glob_literal(f"forebay:progress:{project}:{topic}:") + b"*"


def progress_of_project(project: str) -> bytes:
    """Returns the glob pattern of those hashes, for all topics."""
    return glob_literal(f"forebay:progress:{project}:") + b"*"


def removed_key(project: str) -> bytes:
    """Returns the Redis hash that says, per definition of a view (`progress_field`), which rows may have been removed.

    A field is a time in ms: rows whose newest event is earlier may be absent because they expired.
    """
    return f"forebay:removed:{project}".encode()


def held_key(project: str, view: str, topic: str, partition: int) -> bytes:
    """Returns the Redis hash that names rows of a view, of one partition, whose values are held back; a field is a
    row's key.

    The Feast SDK reads older values of these rows than their state has. The field's value is empty.
    """
    return held_prefix(project, view, topic) + str(partition).encode()


def held_prefix(project: str, view: str, topic: str) -> bytes:
    """Returns the common beginning of those keys of all partitions."""
    return f"forebay:held:{project}:{view}:{topic}:".encode()


def held_keys(project: str, view: str = "") -> bytes:
    """Returns the glob pattern of those keys, of all topics; without a view, of all views."""
    return glob_literal(f"forebay:held:{project}:{view}:" if view else f"forebay:held:{project}:") + b"*"


def glob_literal(text: str) -> bytes:
    """Returns the text as a Redis glob pattern that matches nothing else."""
    return "".join(f"\\{each}" if each in "*?[]\\^-" else each for each in text).encode()


def progress_field(view: StreamView) -> bytes:
    """Returns the field of that hash that belongs to a view's present definition."""
    return definition(view).encode()


def is_progress_of(field: bytes, view: StreamView) -> bool:
    """Tells whether a field of that hash is the progress of a view, whatever its definition was."""
    return field.rpartition(b"@")[0] == view.name.encode()


_ROUTE = b"route:"


def is_view_progress(field: bytes) -> bool:
    """Tells whether a field of that hash is the progress of a view: its offsets are those of the topic that is read."""
    return not field.startswith(_ROUTE) and b"@" in field


def tells_progress(field: bytes) -> bool:
    """Tells whether a field of that hash is the progress of a view or a route.

    Earlier releases kept publications there, as `published:<view>`; nothing reads them any more.
    """
    return field.startswith(_ROUTE) or is_view_progress(field)


def route_field(route: Route) -> bytes:
    """Returns the field of a source topic's hash that says how far it has been re-keyed into a routed topic."""
    return _ROUTE + route.topic.encode()
