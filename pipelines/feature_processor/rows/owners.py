"""Decides which partition an entity's row is computed from, where its events come from several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from forebay.pipelines.contract.kafka.incarnation import Incarnation
from forebay.pipelines.feature_processor.progress.cannot_continue import foreign_row
from forebay.pipelines.feature_processor.rows.view_rows import ViewRows
from forebay.pipelines.steps.arrays import Ints
from forebay.pipelines.steps.tile_state.row_codec import RowCodec


class Misplaced(NamedTuple):
    """A record whose entity's row is computed from another partition."""

    partition: int
    record: int
    """Its place among the records read of the partition."""
    owner: int
    """The partition that the row is computed from."""


class Owners:
    """Knows of each entity the one partition whose events count: that of its row, where there is one."""

    def __init__(self, rows: ViewRows, codec: RowCodec) -> None:
        self._rows = rows
        self._codec = codec

    def of_events(self, keys: Sequence[bytes], entity: Ints, partition: Ints, incarnation: Incarnation) -> Ints:
        """Finds the partition whose events count, for each entity, shape (entities,).

        Args:
            entity: shape (n,), per event the index of its entity.
            partition: shape (n,), where each event was read.

        Raises:
            ProgressMismatch: a row is of another incarnation of the topic.
            StoreUnavailable: a row can't be read.
        """
        of_entity = np.empty(len(keys), dtype=np.int64)
        of_entity[entity[::-1]] = partition[::-1]  # the first event's
        elsewhere = of_entity[entity] != partition
        for each in np.unique(entity[elsewhere]).tolist():
            of_entity[each] = self.of_row(keys[each], incarnation, int(of_entity[each]))
        return of_entity

    def of_row(self, key: bytes, incarnation: Incarnation, otherwise: int) -> int:
        """Finds the partition that the stored row is computed from; `otherwise` without a row. Raises as above."""
        self._rows.drop([key])
        header = self._codec.header(self._rows.load([key])[0])
        if header is None:
            return otherwise
        if header.incarnation != incarnation.digest:
            raise foreign_row(self._rows.view.name, incarnation, otherwise)
        return header.partition
