"""Tells which views of a plan are not ready: too far behind others of their topic to be computed together with them.

A partition is read from the offset of its slowest view. A view that begins afresh would hold up all others of its
topic while it reads what Kafka retains, so another process computes it first (see `side_process`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

import msgspec

from forebay.pipelines.adapters.progress_reader import HashReader
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.topics import is_direct, route_for, view_topic
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.keys import progress_field, progress_key, route_field, tells_progress
from forebay.pipelines.contract.store.progress import NOTHING_YET, decode_progress
from forebay.pipelines.contract.store.publication import is_published, publication_key


class TopicIncarnations(Protocol):
    """What readiness asks the brokers."""

    def incarnation(self, topic: str) -> Incarnation:
        """Returns the present incarnation of a topic. Raises `SettingsError` if there is none."""
        ...


def part(plan: Plan, views: Collection[str]) -> Plan:
    """Returns the plan with these stream views only."""
    return msgspec.structs.replace(plan, stream_views=tuple(each for each in plan.stream_views if each.name in views))


def not_ready(plan: Plan, store: HashReader, topics: TopicIncarnations, ready_records: int) -> set[str]:
    """Names the online views that are not ready, by themselves or by their route.

    A published view is always ready: the processor computes it, and a process beside it would write the same rows
    without publishing them.

    Args:
        ready_records: how many records a ready view may be behind the others of its topic.

    Raises:
        StoreUnavailable: progress can't be read.
        SettingsError: a topic does not exist.
    """
    return {
        view.name
        for view in plan.stream_views
        if view.online and any(_behind(*each) > ready_records for each in _places(plan, view, store, topics))
    }


def _places(
    plan: Plan, view: StreamView, store: HashReader, topics: TopicIncarnations
) -> Iterator[tuple[Mapping[bytes, bytes], bytes]]:
    """Yields every progress hash that tells how far the view is, with the field that tells it."""
    source = plan.source(view.source)
    if is_published(store.read_hash(publication_key(plan.project, view.name)), view):
        return
    for stored in _hashes(plan, view_topic(plan, view), store, topics):
        yield stored, progress_field(view)
    if not is_direct(source, view):
        for stored in _hashes(plan, source.topic, store, topics):
            yield stored, route_field(route_for(plan.project, source, view))


def _hashes(plan: Plan, topic: str, store: HashReader, topics: TopicIncarnations) -> Iterator[dict[bytes, bytes]]:
    for partition in range(topics.incarnation(topic).partitions):
        yield store.read_hash(progress_key(plan.project, topic, partition))


def _behind(stored: Mapping[bytes, bytes], field: bytes) -> int:
    own = decode_progress(stored[field]).offset if field in stored else NOTHING_YET
    others = [decode_progress(data).offset for name, data in stored.items() if name != field and tells_progress(name)]
    return max(others, default=NOTHING_YET) - own
