"""A walk that removes the rows no event can need any more, whichever process computes them.

One process walks over the rows of all partitions. It judges them by the progress that the store holds, which is never
ahead of the process that computes a partition: what has expired by the one has expired by the other. That process may
hold a removed row in memory; it then knows that the row had expired (see `ViewWriter.write`).
"""

from __future__ import annotations

from collections.abc import Sequence

from forebay.pipelines.adapters import metrics
from forebay.pipelines.adapters.online_store import Removal
from forebay.pipelines.adapters.progress_reader import ProgressReader, ViewTopic
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.keys import progress_field, removed_key
from forebay.pipelines.contract.store.row_header import Header
from forebay.pipelines.feature_processor.rows.writer import ViewWriter
from forebay.pipelines.feature_processor.upkeep.claims import WalkClaims
from forebay.pipelines.feature_processor.upkeep.pages import Found, Pages, found_rows
from forebay.pipelines.feature_processor.walk.topic_batch import TopicBatches


def expiring(topic: TopicBatches) -> list[StreamView]:
    """Returns the views whose rows this process can tell to have expired.

    What Feast reads goes with a row: of a definition that Feast does not read, it would be another definition's.
    """
    if topic.parts.source_partitions is None:
        return []
    return [writer.view for writer in topic.writers if topic.publications.published(writer.view)]


class ExpiryWalk:
    """One walk over the rows of the definitions that are claimed, page by page. Not thread-safe.

    Like a batch, a page owns the feed while it lasts.
    """

    def __init__(self, topic: TopicBatches, claims: WalkClaims) -> None:
        self._topic = topic
        self._parts = topic.parts
        self._claims = claims
        self._pages = Pages(topic.parts)
        self._progress = ProgressReader(topic.parts.project, [], topic.parts.store)
        self._needed: dict[str, dict[int, int]] = {}
        """By view and partition, the event time before which no row's newest event is needed."""
        self._breaks: int | None = None
        """How many connections had been lost when these were read; None: they were not."""

    def page(self) -> bool:
        """Looks at some rows; whether the walk is over.

        Raises:
            StoreUnavailable: the walk can go on from here later.
        """
        claimed = {view.fingerprint for view in self._claims.held()}
        writers = [writer for writer in self._topic.writers if writer.view.fingerprint in claimed]
        if not writers:
            return True
        if self._breaks != self._parts.store.breaks:
            # The store may have come back with older rows: judge them by progress of no later.
            self._breaks = self._parts.store.breaks
            self._needed = {writer.view.name: self._oldest_needed_ms(writer.view) for writer in writers}
        page = self._pages.read()
        for writer in writers:
            if keys := page.keys(writer.view):
                self._expire(writer, keys)
        if self._pages.turn():
            return False
        self._claims.complete()
        return True

    def _oldest_needed_ms(self, view: StreamView) -> dict[int, int]:
        incarnation = self._parts.incarnation
        of_view = ViewTopic(view, incarnation.topic, incarnation)
        reached = self._progress.progress_of([(of_view, partition) for partition in range(incarnation.partitions)])
        needed = {
            partition: self._parts.oldest_needed_ms(view, progress.sources)
            for partition, progress in enumerate(reached)
            if progress is not None
        }
        return {partition: oldest for partition, oldest in needed.items() if oldest is not None}

    def _expire(self, writer: ViewWriter, keys: Sequence[bytes]) -> None:
        view = writer.view
        expired = [each for each in found_rows(self._parts, view, keys) if self._is_expired(view, each.header)]
        if expired:
            self._tell_removed(view, max(each.header.last_event_ms for each in expired))
            gone = self._parts.store.remove([_removal(writer, each) for each in expired])
            writer.rows.drop([each.key for each in expired])
            metrics.ROWS_EXPIRED.labels(view.name).inc(sum(gone))

    def _is_expired(self, view: StreamView, header: Header) -> bool:
        needed_ms = self._needed[view.name].get(header.partition)
        return needed_ms is not None and header.last_event_ms < needed_ms

    def _tell_removed(self, view: StreamView, newest_ms: int) -> None:
        """Before rows go: a reader must not take an absent row for that of an entity without events."""
        key = removed_key(self._parts.project)
        self._parts.store.raise_in_hash(key, progress_field(view), newest_ms + 1)


def _removal(writer: ViewWriter, found: Found) -> Removal:
    """Another process may have switched to a definition that this one does not know: then nothing goes."""
    encoder = writer.rows.encoder
    return Removal(found.key, found.expected(writer.view), encoder.all_fields, shared_by=encoder.shared_by)
