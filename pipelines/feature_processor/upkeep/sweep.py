"""A walk over all rows of a feed: publishes those of a definition that took over, removes those nothing needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from forebay.pipelines.adapters import metrics
from forebay.pipelines.adapters.online_store import Removal
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.entity_key import decode_entity_key, head_field, state_fields
from forebay.pipelines.contract.store.keys import progress_field, progress_key, removed_key
from forebay.pipelines.contract.store.row_header import HEADER_BYTES, Header
from forebay.pipelines.feature_processor.rows.writer import ViewWriter
from forebay.pipelines.feature_processor.walk.partition import Partition
from forebay.pipelines.feature_processor.walk.topic_batch import TopicBatches
from forebay.pipelines.steps.expiry import oldest_needed_ms
from forebay.pipelines.steps.tile_state.row_codec import StoredRow


class Found(NamedTuple):
    """A row of a partition that this process reads."""

    key: bytes
    row: StoredRow
    header: Header

    def expected(self, view: StreamView) -> tuple[bytes, bytes]:
        """What the row of this definition must still hold for anything of it to be removed."""
        return head_field(view), self.row.head or b""


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
        self._cursor = 0

    def page(self) -> bool:
        """Looks at some rows; whether that was the last of them.

        Raises:
            StoreUnavailable: the walk can go on from here later.
        """
        following, keys = self._parts.store.scan(self._parts.project, self._cursor)
        entities = [(key, decode_entity_key(key, self._parts.project)) for key in keys]
        for writer in self._topic.writers:
            names = {key.name for key in writer.view.join_keys}
            mine = [key for key, entity in entities if entity is not None and entity.keys() == names]
            if mine:
                self._publish_and_expire(writer, mine)
                self._remove_retired(writer, mine)
        self._cursor = following
        if following:
            return False
        self._complete()
        return True

    def _publish_and_expire(self, writer: ViewWriter, keys: Sequence[bytes]) -> None:
        found = self._rows(writer.view, keys)
        expired = {each.key: each for each in found if self._is_expired(writer.view, each)}
        if expired:
            self._tell_removed(writer.view, max(each.header.last_event_ms for each in expired.values()))
            gone = self._parts.store.remove([self._expiry(writer, each) for each in expired.values()])
            writer.rows.drop(list(expired))
            metrics.ROWS_EXPIRED.labels(writer.view.name).inc(sum(gone))
        publish = [each for each in found if each.key not in expired and self._is_unpublished(writer.view, each)]
        if publish:
            whole = self._rows(writer.view, [each.key for each in publish], state_fields(writer.view))
            writer.publish([each.key for each in whole], [each.row for each in whole])

    def _tell_removed(self, view: StreamView, newest_ms: int) -> None:
        """Before rows go: a reader must not take an absent row for that of an entity without events."""
        key = removed_key(self._parts.project)
        self._parts.store.raise_in_hash(key, progress_field(view), newest_ms + 1)

    def _is_expired(self, view: StreamView, found: Found) -> bool:
        """Only where Feast reads this definition: what it reads goes with the row, and may be of another one."""
        partition, source_partitions = self._partitions[found.header.partition], self._parts.source_partitions
        if source_partitions is None or not self._topic.publications.published(view):
            return False
        needed = oldest_needed_ms(self._parts.feed.source, view, partition.ledger.of(view).sources, source_partitions)
        return needed is not None and found.header.last_event_ms < needed

    def _expiry(self, writer: ViewWriter, found: Found) -> Removal:
        """Another process may have switched to a definition that this one does not know: then nothing goes."""
        return Removal(
            found.key,
            found.expected(writer.view),
            writer.rows.encoder.all_fields,
            shared_by=writer.rows.encoder.shared_by,
        )

    def _is_unpublished(self, view: StreamView, found: Found) -> bool:
        return self._topic.publications.incomplete(view, found.header.partition)

    def _remove_retired(self, writer: ViewWriter, keys: Sequence[bytes]) -> None:
        """With the state of an entity that the present definition does not know goes what Feast still reads of it."""
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
        """Those rows of one definition of a view that belong to the partitions read here.

        Args:
            fields: what is read of them; empty: heads alone, a small part of what a row of many tiles takes.
        """
        cells = self._parts.store.read([(key, fields or (head_field(view),)) for key in keys])
        found = []
        for key, (head, *others) in zip(keys, cells, strict=True):
            if head is None or len(head) < HEADER_BYTES:
                continue
            header = Header.unpack(head)
            if self._is_read_here(header) and header.fingerprint.hex() == view.fingerprint:
                found.append(Found(key, StoredRow(head, *(others or [None])), header))
        return found

    def _is_read_here(self, header: Header) -> bool:
        if header.incarnation != self._parts.incarnation.digest or header.partition not in self._partitions:
            return False
        return self._same(header.partition, self._partitions[header.partition])

    def _same(self, number: int, partition: Partition) -> bool:
        """Whether a partition has been read without a break since the walk began."""
        return self._topic.partitions.get(number) is partition

    def _progress_key(self, found: Found) -> bytes:
        return progress_key(self._parts.project, self._parts.incarnation.topic, found.header.partition)

    def _complete(self) -> None:
        publications = self._topic.publications
        for number, partition in self._partitions.items():
            for writer in self._topic.writers:
                if self._same(number, partition) and publications.incomplete(writer.view, number):
                    publications.complete(writer.view, number)
