"""Finds which definitions of stream views a scorer reads, and whether their rows are right to read."""

from __future__ import annotations

from collections.abc import Sequence

from forebay.pipelines.adapters.progress_reader import HashReader
from forebay.pipelines.contract.kafka.topics import view_topic
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.keys import progress_field, progress_key
from forebay.pipelines.contract.store.progress import Progress, decode_progress
from forebay.pipelines.contract.store.publication import decode_publication, is_published, publication_key

READY_RECORDS = 10_000
"""How many records a definition may be behind the published one and still be read: the default of `--ready-records`."""


def stream_views_read(plan: Plan, service: str) -> list[StreamView]:
    """Lists the stream views that a feature service reads, by itself or through on-demand views."""
    read = {
        each.view
        for candidate in plan.services
        if candidate.name == service
        for each in (*candidate.views, *candidate.dependencies)
    }
    return [view for view in plan.stream_views if view.name in read]


def definition_names(views: Sequence[StreamView]) -> frozenset[bytes]:
    """Names definitions as leases do."""
    return frozenset(progress_field(view) for view in views)


def published_definitions(plan: Plan, views: Sequence[StreamView], store: HashReader) -> dict[str, bool]:
    """Tells, by view, whether this very definition is the published one. Raises `StoreUnavailable`."""
    return {view.name: is_published(store.read_hash(publication_key(plan.project, view.name)), view) for view in views}


def unreadable(plan: Plan, views: Sequence[StreamView], store: HashReader) -> list[str]:
    """Names the views of which another definition is published, while this one is not computed or is far behind.

    A definition that has been given up, or is still to be computed, has no rows, or old ones: scores would be wrong
    without any sign.

    Raises:
        StoreUnavailable: progress can't be read.
    """
    return [view.name for view in views if not _is_readable(plan, view, store)]


def _is_readable(plan: Plan, view: StreamView, store: HashReader) -> bool:
    publication = decode_publication(store.read_hash(publication_key(plan.project, view.name)))
    if publication is None or publication.fingerprint == view.fingerprint:
        return True
    published = f"{view.name}@{publication.fingerprint}".encode()
    topic, partition, partitions = view_topic(plan, view), 0, 1
    while partition < partitions:
        stored = store.read_hash(progress_key(plan.project, topic, partition))
        own, other = (_progress(stored.get(field)) for field in (progress_field(view), published))
        if own is None or (other is not None and other.offset - own.offset > READY_RECORDS):
            return False
        partitions = own.incarnation.partitions
        partition += 1
    return True


def _progress(data: bytes | None) -> Progress | None:
    return None if data is None else decode_progress(data)
