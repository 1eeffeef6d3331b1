"""Write: the rows of one view, folded onto what the store holds, fenced against every other writer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from forebay.pipelines.adapters import metrics
from forebay.pipelines.adapters.online_store import Outcome, RowWrite, SharedBy, Store
from forebay.pipelines.adapters.redis.forgotten import after_forgotten, forgotten_at, forgotten_key, forgotten_place
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder, feature_field, state_fields, timestamp_field
from forebay.pipelines.contract.store.publication import DEFINITION, publication_key
from forebay.pipelines.contract.store.values import encode_columns, encode_timestamp
from forebay.pipelines.errors import StoreRolledBack
from forebay.pipelines.feature_processor.progress.cannot_continue import foreign_row
from forebay.pipelines.feature_processor.rows.cache import RowCache
from forebay.pipelines.feature_processor.rows.slices import RowSlices
from forebay.pipelines.steps.arrays import Ints
from forebay.pipelines.steps.events import EventBatch, distinct_entities
from forebay.pipelines.steps.tile_state.row_codec import StoredRow
from forebay.pipelines.steps.windows.aggregate import Aggregated, ViewAggregator
from forebay.pipelines.steps.windows.columns import AggregatedColumns
from forebay.pipelines.steps.windows.fold import Events

CACHED_BYTES = 128 * 1024 * 1024
"""Rows of one view kept in the process; beyond it, those that were not used for longest are read again when needed."""


class ReadEvents(NamedTuple):
    """Events of one partition."""

    partition: int
    batch: EventBatch
    offsets: Ints
    """Shape (n,), of the batch's events in the partition they were read from."""


class Misplaced(NamedTuple):
    """A record whose entity's row is computed from another partition."""

    partition: int
    record: int
    """Its place among the records read of the partition."""
    owner: int
    """The partition that the row is computed from."""


class ReadFrom(NamedTuple):
    """Where the events of some entities were read, and what becomes of them."""

    incarnation: Incarnation
    partitions: Ints
    """Shape (entities,)."""
    records: Ints
    """Shape (n,), per event the place of its record among those read of its partition."""
    published: bool
    all_sent: Callable[[], None]


class ViewWriter:
    """Keeps the rows of one stream view up to date. Not thread-safe."""

    def __init__(self, view: StreamView, project: str, store: Store) -> None:
        self.view = view
        self._store = store
        self._aggregate = ViewAggregator(view)
        self._key = EntityKeyEncoder(view.join_keys, project)
        self._row_fields = state_fields(view)
        self._shared_fields = [
            timestamp_field(view.name),
            *(feature_field(view.name, feature.name) for feature in view.features),
        ]
        self.shared_by = SharedBy(publication_key(project, view.name), DEFINITION, view.fingerprint.encode())
        """What says whether it is this definition that Feast reads."""
        self.all_fields = (*self._row_fields, *self._shared_fields)
        """Every field of a row."""
        self._columns = AggregatedColumns(view)
        self._cache = RowCache(CACHED_BYTES)
        self._slices = RowSlices()

    def forget(self) -> None:
        """Drops every cached row: the store, or the assignment, may have changed under them."""
        self._cache.clear()

    def drop(self, keys: Sequence[bytes]) -> None:
        """Drops some cached rows."""
        for key in keys:
            self._cache.drop(key)

    def publish(self, keys: Sequence[bytes], rows: Sequence[StoredRow]) -> None:
        """Writes what Feast reads of rows that were written without it; a row that has changed since does it itself.

        Raises:
            StoreUnavailable: nothing can be said about which rows were written; it can be tried again.
        """
        writes = self._encode(keys, rows, self._aggregate.unchanged(rows), published=True)
        self._store.write(writes, self._shared_fields, self.view.expire_ms, self.shared_by)

    def write(
        self,
        parts: Sequence[ReadEvents],
        incarnation: Incarnation,
        published: bool,
        all_sent: Callable[[], None] = lambda: None,
    ) -> list[Misplaced]:
        """Folds events into the rows of their entities and writes them.

        Args:
            parts: of different partitions.
            incarnation: of the topic that they were read from.
            published: whether the view's values are written too, where Feast reads them, or its state alone.
            all_sent: called when all rows are on their way to the store, maybe more than once; not if there are none.

        Returns:
            What was left out: of an entity, one partition's events count, those of its row where there is one.

        Raises:
            StoreUnavailable: nothing can be said about which rows were written; the same batch can be tried again.
            StoreRolledBack: the store holds an older row than it had acknowledged.
            ProgressMismatch: a row belongs to another incarnation of the topic.
        """
        columns = [[value for part in parts for value in part.batch.values(key.name)] for key in self.view.join_keys]
        entities = distinct_entities(columns)
        known = entities.codes >= 0
        if not known.all():
            metrics.NULL_ENTITIES.labels(self.view.name).inc(int(len(known) - known.sum()))
        if not known.any():
            return []
        events = Events.joined([self._events(part.batch) for part in parts])._replace(entity=entities.codes).take(known)
        offsets = np.concatenate([part.offsets for part in parts])[known]
        partition = np.repeat([part.partition for part in parts], [len(part.batch) for part in parts])[known]
        records = np.concatenate([part.batch.index for part in parts])[known]
        keys = [self._key(values) for values in entities.values]
        owners = self._one_partition_each(keys, events, partition, incarnation)
        here = owners[events.entity] == partition
        left_out = [
            Misplaced(*each)
            for each in zip(
                partition[~here].tolist(), records[~here].tolist(), owners[events.entity[~here]].tolist(), strict=True
            )
        ]
        if left_out:
            events, offsets, records = events.take(here), offsets[here], records[here]
        read_from = ReadFrom(incarnation, owners, records, published, all_sent)
        return left_out + self._write_in_slices(keys, events, offsets, read_from)

    def _write_in_slices(
        self, keys: list[bytes], events: Events, offsets: Ints, read_from: ReadFrom
    ) -> list[Misplaced]:
        """Some entities after others: neither all their rows nor what comes of them is held at once."""
        misplaced: list[Misplaced] = []
        for run in self._slices(len(keys)):
            if len(run) == len(keys):
                return self._write_until_contained(keys, events, offsets, read_from)
            here = (events.entity >= run.start) & (events.entity < run.stop)
            part = events.take(here)
            part = part._replace(entity=part.entity - run.start)
            whence = read_from._replace(
                partitions=read_from.partitions[run.start : run.stop],
                records=read_from.records[here],
                all_sent=read_from.all_sent if run.stop == len(keys) else _nothing,
            )
            misplaced += self._write_until_contained(keys[run.start : run.stop], part, offsets[here], whence)
        return misplaced

    def _events(self, batch: EventBatch) -> Events:
        """What is aggregated of a batch, its entities still to be numbered."""
        ids = None if self.view.event_id is None else batch.ids(self.view.event_id.column)
        return Events(np.empty(0, np.int64), batch.event_ms, *self._columns(batch), ids=ids)

    def _one_partition_each(
        self, keys: Sequence[bytes], events: Events, partition: Ints, incarnation: Incarnation
    ) -> Ints:
        """The partition whose events count, of each entity, shape (entities,)."""
        of_entity = np.empty(len(keys), dtype=np.int64)
        of_entity[events.entity[::-1]] = partition[::-1]  # the first event's
        elsewhere = of_entity[events.entity] != partition
        for entity in np.unique(events.entity[elsewhere]).tolist():
            of_entity[entity] = self._owner(keys[entity], incarnation, int(of_entity[entity]))
        return of_entity

    def _owner(self, key: bytes, incarnation: Incarnation, otherwise: int) -> int:
        """The partition that a stored row is computed from; `otherwise` where there is no row.

        Raises:
            ProgressMismatch: the row is of another incarnation of the topic.
        """
        self._cache.drop(key)
        header = self._aggregate.codec.header(self._load([key])[0])
        if header is None:
            return otherwise
        if header.incarnation != incarnation.digest:
            raise foreign_row(self.view.name, incarnation, otherwise)
        return header.partition

    def _write_until_contained(
        self, keys: list[bytes], events: Events, offsets: Ints, read_from: ReadFrom
    ) -> list[Misplaced]:
        misplaced: list[Misplaced] = []
        begun_anew: dict[int, int] = {}
        while len(offsets):
            stored = self._load(keys)
            result = self._aggregate(stored, events, offsets, read_from.incarnation.digest, read_from.partitions)
            if begun_anew:
                result = result._replace(stored_offsets=_expected_offsets(result, begun_anew))
            behind, forgotten, foreign = self._send(keys, stored, result, read_from)
            if len(result.contained) and read_from.published:
                # Whoever wrote these rows may not have published them.
                theirs = result.contained.tolist()
                self.publish([keys[entity] for entity in theirs], [stored[entity] for entity in theirs])
            for entity in foreign:
                here = int(read_from.partitions[entity])
                owner = self._owner(keys[entity], read_from.incarnation, here)
                if owner == here:  # it has gone, or come back, since
                    behind.append(entity)
                else:
                    records = read_from.records[events.entity == entity].tolist()
                    misplaced += [Misplaced(here, record, owner) for record in records]
            if not behind and not forgotten:
                return misplaced
            # Another processor is ahead on these entities: fold what its rows do not contain yet. Of a row that was
            # forgotten, fold what came after.
            fences = np.full(len(keys), -1, dtype=np.int64)
            fences[list(forgotten)] = list(forgotten.values())
            again = np.isin(events.entity, [*behind, *forgotten]) & (offsets > fences[events.entity])
            begun_anew |= {entity: after_forgotten(fence) for entity, fence in forgotten.items()}
            offsets = offsets[again]
            events = events.take(again)
            read_from = read_from._replace(records=read_from.records[again])
        return misplaced

    def _load(self, keys: Sequence[bytes]) -> list[StoredRow]:
        missing = [key for key in keys if key not in self._cache]
        read: dict[bytes, StoredRow] = {}
        if missing:
            with metrics.READ_SECONDS.labels(self.view.name).time():
                found = self._store.read([(key, self._row_fields) for key in missing])
            read = {key: StoredRow(*fields) for key, fields in zip(missing, found, strict=True)}
            self._slices.learn(list(read.values()))
        return [self._cache.get(key) or read[key] for key in keys]

    def _send(
        self, keys: Sequence[bytes], stored: Sequence[StoredRow], result: Aggregated, read_from: ReadFrom
    ) -> tuple[list[int], dict[int, int], list[int]]:
        """Writes the changed rows.

        Returns:
            The entities whose stored row was ahead; by entity whose row was forgotten, the fence it had then; and those
            whose row is of another partition or incarnation of the topic.
        """
        changed = result.entities.tolist()
        writes = _and_then(self._encode(keys, stored, result, read_from.published), read_from.all_sent)
        names = self._shared_fields if read_from.published else ()
        with metrics.WRITE_SECONDS.labels(self.view.name).time():
            outcomes = self._store.write(writes, names, self.view.expire_ms, self.shared_by)
        behind: list[int] = []
        foreign: list[int] = []
        gone: dict[int, bytes] = {}
        for entity, row, outcome in zip(changed, result.rows, outcomes, strict=True):
            if outcome is Outcome.WRITTEN:
                self._cache.put(keys[entity], row)
            elif outcome is Outcome.BEHIND:
                self._cache.drop(keys[entity])
                behind.append(entity)
            elif outcome is Outcome.FORGOTTEN:
                self._cache.drop(keys[entity])
                gone[entity] = row.head or b""
            elif outcome is Outcome.ROLLED_BACK:
                raise StoreRolledBack(f"view {self.view.name!r}: a stored row is older than acknowledged")
            else:
                foreign.append(entity)
        metrics.ROWS_WRITTEN.labels(self.view.name).inc(len(changed) - len(behind) - len(gone) - len(foreign))
        metrics.ROWS_REFUSED.labels(self.view.name).inc(len(behind))
        if len(result.duplicates):
            # Those of rows that were ahead, or were forgotten, are judged again; those of other rows are not counted.
            judged = np.isin(result.duplicates, [*behind, *gone, *foreign], invert=True)
            metrics.DUPLICATE_EVENTS.labels(self.view.name).inc(int(judged.sum()))
        return behind, self._forgotten_at(keys, gone), foreign

    def _forgotten_at(self, keys: Sequence[bytes], gone: Mapping[int, bytes]) -> dict[int, int]:
        """The fences of forgotten rows, by entity.

        Args:
            gone: by entity, the head that was to be written.
        """
        if not gone:
            return {}
        metrics.ROWS_FORGOTTEN.labels(self.view.name).inc(len(gone))
        found = self._store.read(
            [(forgotten_key(keys[entity]), (forgotten_place(head),)) for entity, head in gone.items()]
        )
        return {entity: forgotten_at(fence) for entity, (fence,) in zip(gone, found, strict=True)}

    def _encode(
        self, keys: Sequence[bytes], stored: Sequence[StoredRow], result: Aggregated, published: bool
    ) -> Iterator[RowWrite]:
        """The writes, one by one: the store may send the first while the last is not made yet.

        Args:
            published: whether their values are written where Feast reads.
        """
        head_name, *other_names = self._row_fields
        shared = self._cells(result) if published else itertools.repeat(())
        for entity, row, offset, values in zip(
            result.entities.tolist(), result.rows, result.stored_offsets, shared, strict=False
        ):
            fields: list[Any] = [head_name, row.head]
            for name, new, old in zip(other_names, row[1:], stored[entity][1:], strict=False):
                if offset < 0 or new != old:
                    fields += (name, new)
            yield RowWrite(keys[entity], offset, fields, values)

    def _cells(self, result: Aggregated) -> Iterator[Sequence[bytes]]:
        """Per row, what Feast reads: the time, and a value per feature."""
        cells = encode_columns(result.values, [feature.dtype for feature in self.view.features])
        return zip(map(encode_timestamp, result.last_event_ms.tolist()), *cells, strict=True)


def _expected_offsets(result: Aggregated, begun_anew: Mapping[int, int]) -> list[int]:
    """Per changed row, the fence that the store is expected to have; of an absent one, the one it was forgotten at."""
    entities = zip(result.entities.tolist(), result.stored_offsets, strict=True)
    return [begun_anew.get(entity, offset) if offset < 0 else offset for entity, offset in entities]


def _nothing() -> None:
    """Called where more rows are still to be sent."""


def _and_then(writes: Iterator[RowWrite], called: Callable[[], None]) -> Iterator[RowWrite]:
    yield from writes
    called()
