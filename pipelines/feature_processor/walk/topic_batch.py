"""The walk of one batch of a topic: every partition is prepared, all are folded and written together, then progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import msgspec
import numpy as np

from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.contract.kafka.record import Record
from forebay.pipelines.contract.plan.definition import definition
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.progress import SourceProgress
from forebay.pipelines.feature_processor.progress.cannot_continue import another_incarnation, foreign_row
from forebay.pipelines.feature_processor.progress.ledger import encoded
from forebay.pipelines.feature_processor.progress.published import Publications
from forebay.pipelines.feature_processor.rows.view_rows import RowPlace
from forebay.pipelines.feature_processor.rows.writer import ReadEvents, ViewWriter
from forebay.pipelines.feature_processor.walk.partition import Partition, Prepared
from forebay.pipelines.feature_processor.walk.parts import TopicParts
from forebay.pipelines.process.watchdog import step
from forebay.pipelines.steps.dead_letter_limit import Allowance, Tally, judged


def _nothing() -> None:
    """Does nothing: the default of `all_sent`."""


class TopicBatches:
    """Processes the batches of one topic's partitions. Not thread-safe."""

    def __init__(
        self,
        parts: TopicParts,
        *,
        publishes: bool = True,
        dead_letters: Allowance | None = None,
        generation: Callable[[], int] = lambda: 0,
    ) -> None:
        """Args:
        publishes: whether what Feast reads is written; False for a process beside the processor.
        dead_letters: how many are borne; None: any number.
        generation: of the plan that the views are of.
        """
        self.parts = parts
        self.publications = Publications(
            parts.feed.views, parts.project, parts.incarnation, parts.store, publishes, generation
        )
        self.writers = [
            ViewWriter(
                view,
                RowPlace(parts.project, parts.feed.topic, parts.store),
                partial(self._oldest_needed_ms, view),
                parts.monotonic_s,
            )
            for view, _ in parts.views
        ]
        self.partitions: dict[int, Partition] = {}
        self._allowed = dead_letters or Allowance(0, 0.0)
        self._tally = Tally()

    @property
    def topic(self) -> str:
        """Name of the topic that is read."""
        return self.parts.feed.topic

    @property
    def connections_lost(self) -> int:
        """How many connections to the store were lost or given up so far."""
        return self.parts.store.breaks

    @property
    def next_offsets(self) -> dict[int, int]:
        """By partition that was assigned, the first offset that some view does not contain."""
        return {number: partition.ledger.offset + 1 for number, partition in self.partitions.items()}

    def check_incarnation(self, present: Incarnation) -> None:
        """Compares the topic as the brokers describe it with the one that is read.

        Raises:
            ProgressMismatch: it was made anew, or given more partitions: offsets of the two do not compare.
        """
        known, feed = self.parts.incarnation, self.parts.feed
        now = msgspec.structs.replace(present, source_id=known.source_id)
        if now != known:
            raise another_incarnation(known, now, 0, feed, [view.name for view in feed.views])

    def forget_rows(self) -> None:
        """Drops every row that is kept in the process."""
        for writer in self.writers:
            writer.forget()

    @property
    def any_due(self) -> bool:
        """Whether `publish_due` has something to do."""
        return any(writer.publisher.any_due for writer in self._publishing())

    def publish_due(self) -> None:
        """Publishes rows whose values were held back, here or by the former owner of the partitions.

        Raises:
            StoreUnavailable: the others are due again.
        """
        for writer in self._publishing():
            step(f"publishing rows of {writer.view.name}")
            writer.publisher.take_over(self.partitions)
            writer.publisher.publish_due()

    def _publishing(self) -> Iterator[ViewWriter]:
        return (writer for writer in self.writers if self.publications.published(writer.view))

    def has_fallen_back(self) -> bool:
        """Tells whether the store lost progress that this process had written. Raises as `assign`."""
        for partition in self.partitions.values():
            step(f"comparing the store's progress of {self.topic}")
            if partition.ledger.has_fallen_back():
                return True
        return False

    def publish_again(self) -> None:
        """Writes again which definitions are published: no progress tells whether the store lost that.

        Raises:
            StoreUnavailable: it can be tried again.
        """
        self.publications.take_over_again()

    def assign(self, partitions: Mapping[int, int]) -> None:
        """Starts afresh on these partitions: nothing of a former assignment is kept. The store is left as it is.

        Args:
            partitions: each with the first offset that Kafka retains.

        Raises:
            StoreUnavailable: it can be tried again.
            ProgressMismatch: the topic is not the one that progress was made on, or lacks records since.
        """
        self.forget_rows()
        self._tally = Tally()
        self.partitions = {
            partition: Partition(self.parts, partition, earliest) for partition, earliest in partitions.items()
        }
        self.publications.assign(list(self.partitions))

    def process(
        self,
        batches: Mapping[int, Sequence[Record]],
        all_sent: Callable[[], None] = _nothing,
        ends: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        """Processes one batch of some partitions completely: when this returns, their ends may be committed.

        Partitions are folded together, so the fixed cost of a batch is paid once, and events wait for fewer others.

        Args:
            batches: by partition, its records; at least one.
            all_sent: called when nothing is left to be computed, and only the store's answers are waited for.
            ends: by partition, the offset after all that was read of it, where that is past the last record: what
                follows it, or stands alone, are markers and records of aborted transactions.

        Raises:
            StoreUnavailable: nothing was acknowledged; the same batch can be tried again.
            DeliveryFailed: nothing was acknowledged; only a restart can try again, since the producer has ended.
            StoreRolledBack: the store lost writes; the batch must be read again from its progress.
            ProgressMismatch: the topic is not the one that progress was made on.
            TooManyDeadLetters: nothing of the batch is written to the store, and none of its dead letters to Kafka.
        """
        prepared = []
        for partition, records in batches.items():
            step(f"preparing {self.parts.feed.topic}[{partition}]@{records[0].offset}-{records[-1].offset}")
            prepared.append(self.partitions[partition].prepare(records))
        tally = judged(self._tally, {each.partition: each.attempt for each in prepared}, self._allowed)
        self._write(prepared, all_sent)
        # The store may refuse records too: only now is it known which views a record does not come into.
        for each in prepared:
            self.partitions[each.partition].send_refused()
        self.parts.producer.flush()
        step("writing progress")
        self.publications.count_unpublished_batch([each.partition for each in prepared])
        reached = {each.partition: each.records[-1].offset for each in prepared}
        reached |= {at: max(reached.get(at, 0), end - 1) for at, end in ends.items()}
        self._advance(reached, {each.partition: each.sources for each in prepared})
        for at in reached:
            self.partitions[at].done(batches.get(at, ()))
        self.publications.take_over()
        self._tally = tally

    def _advance(
        self, reached: Mapping[int, int], sources: Mapping[int, Mapping[str, Mapping[int, SourceProgress]]]
    ) -> None:
        """Writes the progress of all partitions; the process believes it once the store has it.

        Args:
            reached: by partition, the offset up to which everything is contained.
            sources: by partition and view that has come forward by a record, its source partitions.
        """
        forward = {
            self.partitions[at].ledger: self.partitions[at].advanced(offset, sources.get(at, {}))
            for at, offset in reached.items()
        }
        if changed := {ledger.key: encoded(each) for ledger, each in forward.items() if each}:
            self.parts.store.write_hashes(changed)
        for ledger, each in forward.items():
            ledger.written(each)

    def _write(self, prepared: Sequence[Prepared], all_sent: Callable[[], None]) -> None:
        """Writes the rows of all views, and refuses records whose entity's row is computed from another partition.

        A record that one view refuses is left out of the views after it. Views with few join keys come first, since
        they notice more: a record in the wrong partition may be the first of its card at its merchant, but not of its
        card.
        """
        writes = [
            (writer, parts)
            for writer in sorted(self.writers, key=lambda writer: len(writer.view.join_keys))
            if (parts := _parts(prepared, writer.view.name))
        ]
        records = {each.partition: each.records for each in prepared}
        refused: dict[int, set[int]] = {}
        for number, (writer, parts) in enumerate(writes, 1):
            step(f"writing rows of {writer.view.name}")
            sent = all_sent if number == len(writes) else _nothing
            published = writer.view.publishes and self.publications.published(writer.view)
            lacking = [definition(later.view) for later, _ in writes[number - 1 :]]
            for each in writer.write(_without(parts, refused), self.parts.incarnation, published, sent):
                if self.parts.feed.routed:  # Forebay keyed it itself
                    raise foreign_row(writer.view.name, self.parts.incarnation, each.partition)
                refused.setdefault(each.partition, set()).add(each.record)
                self.partitions[each.partition].refuse_misplaced(
                    each.record, records[each.partition][each.record], each.owner, lacking
                )

    def _oldest_needed_ms(self, view: StreamView, partition: int) -> int | None:
        """See `steps.expiry`, by all batches before the present one."""
        return self.parts.oldest_needed_ms(view, self.partitions[partition].ledger.of(view).sources)

    def begin(self) -> None:
        """Writes to the store what this process computes from now on; called after `assign`, before the first batch.

        Raises:
            StoreUnavailable: it can be tried again.
        """
        for partition in self.partitions.values():
            partition.ledger.begin()
        self.publications.take_over()


def _parts(prepared: Sequence[Prepared], view: str) -> list[ReadEvents]:
    """Events of a view, by partition."""
    return [ReadEvents(each.partition, *each.events[view]) for each in prepared if view in each.events]


def _without(parts: Sequence[ReadEvents], refused: Mapping[int, set[int]]) -> Sequence[ReadEvents]:
    """Returns the events without those of refused records, by partition their places among its records."""
    if not refused:
        return parts
    left = []
    for part in parts:
        kept = ~np.isin(part.batch.index, list(refused.get(part.partition, ())))
        left.append(ReadEvents(part.partition, part.batch.select(kept), part.offsets[kept]))
    return left
