"""Publish: writes what Feast reads of rows that were written without it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from forebay.pipelines.feature_processor.rows.encode import ShownValues
from forebay.pipelines.feature_processor.rows.view_rows import ViewRows
from forebay.pipelines.steps.tile_state.row_codec import StoredRow
from forebay.pipelines.steps.windows.aggregate import ViewAggregator


class RowPublisher:
    """Publishes rows of one view as they are. Not thread-safe."""

    def __init__(self, rows: ViewRows, aggregate: ViewAggregator) -> None:
        self._rows = rows
        self._aggregate = aggregate
        self._partitions: Collection[int] = ()
        self._unread: list[tuple[int, int]] | None = None
        """Partition, and cursor, of what the store names and was not read yet; None: everything."""

    def forget(self) -> None:
        """Reads again what the store says: the assignment, or the store, may have changed."""
        self._rows.held.forget()
        self._unread = None

    @property
    def any_due(self) -> bool:
        """Whether there is something to do."""
        return self._unread != [] or self._rows.held.any_due

    def take_over(self, partitions: Collection[int]) -> None:
        """Reads some of the rows that the former owner of these partitions held back.

        Raises:
            StoreUnavailable: it can be tried again.
        """
        if self._unread is None:
            self._partitions, self._unread = partitions, [(partition, 0) for partition in partitions]
        keys: list[bytes] = []
        while self._unread and not keys:
            partition, cursor = self._unread[-1]
            following, keys = self._rows.held_in_store(partition, cursor)
            self._unread[-1:] = [(partition, following)] if following else []
            if not self._rows.view.publishes:
                self._rows.drop_held(partition, keys)
        if self._rows.view.publishes:
            self._rows.held.found(keys)

    def publish_due(self) -> None:
        """Publishes the rows that are due.

        Raises:
            StoreUnavailable: the others are due again.
        """
        keys = self._rows.held.due()
        for run in self._rows.slices(len(keys)):
            self._publish_present(keys[run.start : run.stop])

    def _publish_present(self, keys: Sequence[bytes]) -> None:
        rows = self._rows.load(keys)
        present = [self._aggregate.codec.header(row) is not None for row in rows]
        gone = [key for key, there in zip(keys, present, strict=True) if not there]
        for key in gone:
            self._rows.held.released(key)
        for partition in self._partitions if gone else ():
            self._rows.drop_held(partition, gone)
        if len(gone) < len(keys):
            self.publish(
                [key for key, there in zip(keys, present, strict=True) if there],
                [row for row, there in zip(rows, present, strict=True) if there],
            )

    def publish(self, keys: Sequence[bytes], rows: Sequence[StoredRow]) -> None:
        """Writes what Feast reads of rows of this definition. See `ViewRows.publish`."""
        unchanged = self._aggregate.unchanged(rows)
        everything = np.ones(len(rows), dtype=bool)
        shown = ShownValues(everything, self._aggregate.values(unchanged, everything))
        self._rows.publish(keys, rows, unchanged, shown)
