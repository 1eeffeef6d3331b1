"""The walk of one batch of a topic: every partition is prepared, all are folded and written together, then progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipelines.adapters.store import Store
from pipelines.contract.fence import Lineage
from pipelines.contract.records import Record
from pipelines.contract.topology import Feed
from pipelines.feature_processor.partition_pipeline import PartitionPipeline, Prepared
from pipelines.feature_processor.publications import Publications
from pipelines.feature_processor.router import Producer, Router
from pipelines.feature_processor.view_writer import ReadEvents, ViewWriter
from pipelines.steps.decode import SchemaSource, decoder_for
from pipelines.steps.transform import Transform, view_transform
from pipelines.steps.validate import Validator


class FeedPipeline:
    """Everything that is shared by the partitions of one topic. Not thread-safe."""

    def __init__(
        self,
        feed: Feed,
        project: str,
        store: Store,
        producer: Producer,
        lineage: Lineage,
        router: Router | None,
        schemas: SchemaSource | None = None,
        *,
        publishes: bool = True,
        source_partitions: int | None = None,
        generation: Callable[[], int] = lambda: 0,
    ) -> None:
        """Args:
            schemas: of the topic's events, where they name them by an id.
            publishes: whether what Feast reads is written: not by a process that only catches up.
            source_partitions: of the topic that a routed one is routed from; None: not known.
            generation: of the plan that the views are of.

        Raises:
            SettingsError: they do, and it is not there.
        """
        self.feed = feed
        self.project = project
        self.store = store
        self.producer = producer
        self.lineage = lineage
        self.router = router
        self.source_partitions = source_partitions if feed.routed else 1
        """How many partitions of the source an entity's events may come from; None where that is not known."""
        self.decode = decoder_for(feed.source, schemas)
        entities = [view.join_keys for view in feed.views] + [route.join_keys for route in feed.routes]
        self.validate = Validator(feed.source, {key.name for keys in entities for key in keys})
        self.publications = Publications(feed.views, project, lineage, store, publishes, generation)
        self.writers = [ViewWriter(view, project, store) for view in feed.views]
        self.transforms: list[Transform] = [view_transform(view) for view in feed.views]
        self.partitions: dict[int, PartitionPipeline] = {}

    def assign(self, partitions: Mapping[int, int]) -> None:
        """Starts afresh on these partitions: nothing of a former assignment is kept. The store is left as it is.

        Args:
            partitions: each with the first offset that Kafka retains.

        Raises:
            StoreUnavailable: it can be tried again.
            ProgressMismatch: the topic is not the one that progress was made on, or lacks records since.
        """
        for writer in self.writers:
            writer.forget()
        self.partitions = {
            partition: PartitionPipeline(self, partition, earliest) for partition, earliest in partitions.items()
        }
        self.publications.assign(list(self.partitions))

    def process(self, batches: Mapping[int, Sequence[Record]], all_sent: Callable[[], None] = lambda: None) -> None:
        """One batch of some partitions, completely: when this returns, their last offsets may be committed.

        Partitions are folded together: what a batch costs beside its events is paid once, and so events wait for
        fewer others.

        Args:
            batches: by partition, its records; at least one.
            all_sent: called when nothing is left to be computed, and only the store's answers are waited for.

        Raises:
            StoreUnavailable: nothing was acknowledged; the same batch can be tried again.
            DeliveryFailed: nor was it; but only by another process, since the producer is of no further use.
            StoreRolledBack: read again from the store's progress.
            ProgressMismatch: the topic is not the one that progress was made on.
        """
        prepared = [self.partitions[partition].prepare(records) for partition, records in batches.items()]
        writes = [(writer, parts) for writer in self.writers if (parts := _parts(prepared, writer.view.name))]
        for writer, parts in writes[:-1]:
            writer.write(parts, self.lineage, self.publications.published(writer.view))
        for writer, parts in writes[-1:]:
            writer.write(parts, self.lineage, self.publications.published(writer.view), all_sent)
        self.producer.flush()
        self.publications.count_unpublished_batch([each.partition for each in prepared])
        progress = {self.partitions[each.partition].ledger.key: self._advance(each) for each in prepared}
        if changed := {key: fields for key, fields in progress.items() if fields}:
            self.store.write_hashes(changed)
        for each in prepared:
            self.partitions[each.partition].done(each.records)
        self.publications.take_over()

    def _advance(self, prepared: Prepared) -> dict[bytes, bytes]:
        return self.partitions[prepared.partition].ledger.advance(prepared.records[-1].offset, prepared.sources)

    def begin(self) -> None:
        """After `assign`, before the first batch: the store is told what is computed here from now on.

        Raises:
            StoreUnavailable: it can be tried again.
        """
        for partition in self.partitions.values():
            partition.ledger.begin()
        self.publications.take_over()


def _parts(prepared: Sequence[Prepared], view: str) -> list[ReadEvents]:
    """Events of a view, by partition."""
    return [ReadEvents(each.partition, *each.events[view]) for each in prepared if view in each.events]
