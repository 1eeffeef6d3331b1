"""Write: the rows of one view, folded onto what the store holds, fenced against every other writer.

slices of entities, each: load -> fold -> send -> answers -> what was not taken: load -> fold -> ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from forebay.pipelines.adapters import metrics
from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.entity_key import EntityKeyEncoder
from forebay.pipelines.contract.store.erasure import NEVER
from forebay.pipelines.feature_processor.rows.encode import ShownValues
from forebay.pipelines.feature_processor.rows.entity_events import EntityEvents
from forebay.pipelines.feature_processor.rows.owners import Misplaced, Owners
from forebay.pipelines.feature_processor.rows.publisher import RowPublisher
from forebay.pipelines.feature_processor.rows.view_rows import NotTaken, RowPlace, ViewRows
from forebay.pipelines.steps.arrays import Ints
from forebay.pipelines.steps.entities import distinct_entities
from forebay.pipelines.steps.events import EventBatch
from forebay.pipelines.steps.tile_state.row_codec import StoredRow
from forebay.pipelines.steps.windows.aggregate import Aggregated, ViewAggregator
from forebay.pipelines.steps.windows.columns import AggregatedColumns
from forebay.pipelines.steps.windows.fold import Events


class ReadEvents(NamedTuple):
    """Events of one partition."""

    partition: int
    batch: EventBatch
    offsets: Ints
    """Shape (n,), of the batch's events in the partition they were read from."""


class Folded(NamedTuple):
    """Events, the rows they were folded onto, and what came of it."""

    events: EntityEvents
    stored: list[StoredRow]
    result: Aggregated


class ViewWriter:
    """Keeps the rows of one stream view up to date. Not thread-safe."""

    def __init__(
        self,
        view: StreamView,
        place: RowPlace,
        oldest_needed_ms: Callable[[int], int | None] = lambda _: None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        oldest_needed_ms: by partition, the event time before which a row's newest event is not needed any more (see
            `steps.expiry`): another process may have removed such a row. None: every row is needed.
        """
        self.view = view
        self._oldest_needed_ms = oldest_needed_ms
        self.rows = ViewRows(view, place, monotonic_s)
        self._aggregate = ViewAggregator(view)
        self.publisher = RowPublisher(self.rows, self._aggregate)
        self._owners = Owners(self.rows, self._aggregate.codec)
        self._key = EntityKeyEncoder(view.join_keys, place.project)
        self._columns = AggregatedColumns(view)

    def forget(self) -> None:
        """Drops all that is kept of rows: the store, or the assignment, may have changed under them."""
        self.rows.forget()
        self.publisher.forget()

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
            published: whether the view's values are written too, where Feast reads them, as often as the view says,
                or its state alone.
            all_sent: called when all rows are on their way to the store, maybe more than once; not if there are none.

        Returns:
            What was left out: of an entity, one partition's events count, those of its row where there is one.

        Raises:
            StoreUnavailable: nothing can be said about which rows were written; the same batch can be tried again.
            StoreRolledBack: the store holds an older row than it had acknowledged.
            ProgressMismatch: a row belongs to another incarnation of the topic.
        """
        everything, left_out = self._of_one_partition_each(parts, incarnation)
        # Some entities after others: neither all their rows nor what comes of them is held at once.
        for run in self.rows.slices(len(everything.keys)):
            sent_last = all_sent if run.stop == len(everything.keys) else _nothing
            left_out += self._write(everything.run(run), incarnation, published, sent_last)
            if published:
                self.publisher.publish_due()
        return left_out

    def _write(
        self, current: EntityEvents, incarnation: Incarnation, published: bool, all_sent: Callable[[], None]
    ) -> list[Misplaced]:
        """Writes one slice until all of its events are contained, or left out."""
        misplaced: list[Misplaced] = []
        while len(current.offsets):
            folded = self._fold(current, self.rows.load(current.keys), incarnation)
            shown = self._shown(folded) if published else None
            self.rows.send(current.keys, folded.stored, folded.result, shown)
            all_sent()
            not_taken = self.rows.answers(current.keys, folded.result, shown, partial(self._had_expired, folded))
            if published:
                self._publish_contained(folded)
            left_out, repeated = self._not_taken(folded, not_taken, incarnation)
            misplaced += left_out
            current = repeated
        return misplaced

    def _fold(self, current: EntityEvents, stored: list[StoredRow], incarnation: Incarnation) -> Folded:
        result = self._aggregate(stored, current.events, current.offsets, incarnation.digest, current.partitions)
        if current.begun_anew:
            result = result._replace(stored_offsets=_expected_offsets(result, current.begun_anew))
        return Folded(current, stored, result)

    def _had_expired(self, folded: Folded, entity: int) -> bool:
        """Tells whether the row below the fold has expired: its events give the same, folded onto nothing."""
        header = self._aggregate.codec.header(folded.stored[entity])
        needed_ms = self._oldest_needed_ms(int(folded.events.partitions[entity]))
        return header is not None and needed_ms is not None and header.last_event_ms < needed_ms

    def _shown(self, folded: Folded) -> ShownValues:
        keys, result = folded.events.keys, folded.result
        chosen = self.rows.held.shown([keys[entity] for entity in result.entities.tolist()])
        return ShownValues(chosen, self._aggregate.values(result, chosen) if chosen.any() else [])

    def _publish_contained(self, folded: Folded) -> None:
        """Publishes rows that contained all events already: their writer may not have published them."""
        theirs = folded.result.contained.tolist()
        if theirs:
            keys = folded.events.keys
            self.publisher.publish([keys[entity] for entity in theirs], [folded.stored[entity] for entity in theirs])

    def _not_taken(
        self, folded: Folded, not_taken: NotTaken, incarnation: Incarnation
    ) -> tuple[list[Misplaced], EntityEvents]:
        """Splits refused rows into those left out for good and those to be folded again, since they were changed
        meanwhile.
        """
        current, misplaced, behind = folded.events, [], list(not_taken.behind)
        for entity in not_taken.foreign:
            here = int(current.partitions[entity])
            owner = self._owners.of_row(current.keys[entity], incarnation, here)
            if owner == here:  # it has gone, or come back, since
                behind.append(entity)
            else:
                records = current.records[current.events.entity == entity].tolist()
                misplaced += [Misplaced(here, record, owner) for record in records]
        # Another processor is ahead on these entities: fold what its rows do not contain yet. Of a row that was
        # forgotten, fold what came after.
        forgotten = not_taken.forgotten
        until = np.full((2, len(current.keys)), NEVER, dtype=np.int64)
        until[:, list(forgotten)] = np.transpose([(each.offset, each.event_ms) for each in forgotten.values()])
        entities = current.events.entity
        offset, event_ms = until[:, entities]
        after = (current.offsets > offset) & (current.events.event_ms > event_ms)
        again = np.isin(entities, [*behind, *forgotten]) & after
        anew = {**current.begun_anew, **{at: each.expected_offset for at, each in forgotten.items()}}
        return misplaced, current.only(again)._replace(begun_anew=anew)

    def _of_one_partition_each(
        self, parts: Sequence[ReadEvents], incarnation: Incarnation
    ) -> tuple[EntityEvents, list[Misplaced]]:
        """Returns events that have an entity, and records in another partition than their entity's row."""
        columns = [[value for part in parts for value in part.batch.values(key.name)] for key in self.view.join_keys]
        entities = distinct_entities(columns)
        known = entities.codes >= 0
        if not known.all():
            metrics.NULL_ENTITIES.labels(self.view.name).inc(int(len(known) - known.sum()))
        events = Events.joined([self._events(part.batch) for part in parts])._replace(entity=entities.codes).take(known)
        offsets = np.concatenate([part.offsets for part in parts])[known]
        partition = np.repeat([part.partition for part in parts], [len(part.batch) for part in parts])[known]
        records = np.concatenate([part.batch.index for part in parts])[known]
        keys = [self._key(values) for values in entities.values]
        owners = self._owners.of_events(keys, events.entity, partition, incarnation)
        here = owners[events.entity] == partition
        left_out = [
            Misplaced(*each)
            for each in zip(
                partition[~here].tolist(), records[~here].tolist(), owners[events.entity[~here]].tolist(), strict=True
            )
        ]
        everything = EntityEvents(keys, owners, events, offsets, records)
        return everything.only(here) if left_out else everything, left_out

    def _events(self, batch: EventBatch) -> Events:
        """Selects what is aggregated of a batch; its entities are numbered later."""
        ids = None if self.view.event_id is None else batch.ids(self.view.event_id.column)
        return Events(np.empty(0, np.int64), batch.event_ms, *self._columns(batch), ids=ids)


def _expected_offsets(result: Aggregated, begun_anew: Mapping[int, int]) -> list[int]:
    """Finds, per changed row, the fence that the store must have; of an absent row, what names its erasure."""
    entities = zip(result.entities.tolist(), result.stored_offsets, strict=True)
    return [begun_anew.get(entity, offset) if offset < 0 else offset for entity, offset in entities]


def _nothing() -> None:
    """Called where more rows are still to be sent."""
