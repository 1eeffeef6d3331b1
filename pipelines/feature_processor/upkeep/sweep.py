"""A walk over the rows of partitions that are read here, after a rollout: publishes, or withdraws, those of the
definition that took over, and removes those of the one before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from forebay.pipelines.adapters.online_store import Removal
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.entity_key import state_fields
from forebay.pipelines.contract.store.keys import progress_field, progress_key
from forebay.pipelines.contract.store.row_header import Header
from forebay.pipelines.feature_processor.rows.writer import ViewWriter
from forebay.pipelines.feature_processor.upkeep.pages import Found, Pages, found_rows
from forebay.pipelines.feature_processor.walk.partition import Partition
from forebay.pipelines.feature_processor.walk.topic_batch import TopicBatches


class Sweep:
    """One walk, page by page, between batches. Not thread-safe: like a batch, a page owns the feed while it lasts."""

    def __init__(self, topic: TopicBatches, retired: Mapping[str, Collection[str]]) -> None:
        """Args:
        retired: by view, the fingerprints of definitions whose rows are dead.
        """
        self._topic = topic
        self._parts = topic.parts
        self._partitions = dict(topic.partitions)
        self._retired = [
            msgspec.structs.replace(writer.view, fingerprint=fingerprint)
            for writer in topic.writers
            for fingerprint in retired.get(writer.view.name, ())
        ]
        self._pages = Pages(topic.parts)

    def page(self) -> bool:
        """Looks at some rows; whether that was the last of them.

        Raises:
            StoreUnavailable: the walk can go on from here later.
        """
        page = self._pages.read()
        for writer in self._topic.writers:
            if keys := page.keys(writer.view):
                if self._may_have_unpublished(writer.view):
                    self._publish(writer, keys)
                self._remove_retired(writer, keys)
        if self._pages.turn():
            return False
        self._complete()
        return True

    def _may_have_unpublished(self, view: StreamView) -> bool:
        return any(self._topic.publications.incomplete(view, partition) for partition in self._partitions)

    def _publish(self, writer: ViewWriter, keys: Sequence[bytes]) -> None:
        found = self._rows(writer.view, keys)
        unpublished = [each for each in found if self._is_unpublished(writer.view, each)]
        if unpublished and writer.view.publishes:
            whole = self._rows(writer.view, [each.key for each in unpublished], state_fields(writer.view))
            writer.publisher.publish([each.key for each in whole], [each.row for each in whole])
        elif unpublished:
            self._parts.store.remove([self._withdrawal(writer, each) for each in unpublished])

    def _withdrawal(self, writer: ViewWriter, found: Found) -> Removal:
        """Makes the removal of what Feast read of a row before its view stopped publishing."""
        encoder = writer.rows.encoder
        return Removal(found.key, found.expected(writer.view), encoder.shared_fields, shared_by=encoder.shared_by)

    def _is_unpublished(self, view: StreamView, found: Found) -> bool:
        return self._topic.publications.incomplete(view, found.header.partition)

    def _remove_retired(self, writer: ViewWriter, keys: Sequence[bytes]) -> None:
        """Removes retired state; of entities that the present definition does not know, also what Feast still reads."""
        for old in (view for view in self._retired if view.name == writer.view.name):
            found = self._rows(old, keys)
            known = {each.key for each in self._rows(writer.view, [each.key for each in found])}
            removals = []
            for each in found:
                state = Removal(
                    each.key, each.expected(old), state_fields(old), self._progress_key(each), progress_field(old)
                )
                if each.key not in known:
                    everything = (*state.fields, *writer.rows.encoder.all_fields)
                    removals.append(state._replace(fields=everything, shared_by=writer.rows.encoder.shared_by))
                removals.append(state)  # which is done already where everything could go
            self._parts.store.remove(removals)

    def _rows(self, view: StreamView, keys: Sequence[bytes], fields: Sequence[bytes] = ()) -> list[Found]:
        """Selects those of `found_rows` that belong to the partitions read here."""
        return [each for each in found_rows(self._parts, view, keys, fields) if self._is_read_here(each.header)]

    def _is_read_here(self, header: Header) -> bool:
        partition = self._partitions.get(header.partition)
        return partition is not None and self._same(header.partition, partition)

    def _same(self, number: int, partition: Partition) -> bool:
        """Tells whether a partition has been read without a break since the walk began."""
        return self._topic.partitions.get(number) is partition

    def _progress_key(self, found: Found) -> bytes:
        return progress_key(self._parts.project, self._parts.incarnation.topic, found.header.partition)

    def _complete(self) -> None:
        publications = self._topic.publications
        for number, partition in self._partitions.items():
            for writer in self._topic.writers:
                if self._same(number, partition) and publications.incomplete(writer.view, number):
                    publications.complete(writer.view, number)
