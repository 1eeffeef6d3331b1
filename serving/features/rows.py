"""Evaluates the stored rows of one view: bytes to columns of feature values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from forebay.pipelines.contract.kafka.position import Position
from forebay.pipelines.contract.kafka.topics import view_topic
from forebay.pipelines.contract.plan.plan import Plan
from forebay.pipelines.contract.plan.views import BatchView, Feature, StreamView
from forebay.pipelines.contract.store.entity_key import closed_field, feature_field, head_field, timestamp_field
from forebay.pipelines.contract.store.keys import progress_field
from forebay.pipelines.contract.store.list_values import decode_list
from forebay.pipelines.contract.store.row_header import Header
from forebay.pipelines.contract.store.values import decode_timestamp, decode_value
from forebay.pipelines.steps.arrays import Column, Floats, Ints
from forebay.pipelines.steps.tile_state.row_codec import RowCodec, StoredRow
from forebay.pipelines.steps.windows.evaluate import WindowEvaluator
from forebay.pipelines.steps.windows.fold import NO_TILE
from forebay.serving.features.columns import to_column
from forebay.serving.features.missing_values import Bools

Cells = Sequence[bytes | None]
"""The stored fields of one row, in the order of `fields`."""


class ViewColumns(NamedTuple):
    """The values of one view for n requests."""

    features: Sequence[Feature]
    columns: Sequence[Column]
    """One per feature."""
    stale: Bools
    """Shape (n,): the row is older than the view's ttl."""
    fences: Sequence[str | None]
    """Per request, the position of the last record in the row; None for no row or a batch view."""
    event_ms: Floats
    """Shape (n,): event time of the row, ms; NaN for no row."""
    streamed: bool
    """Whether the feature processor writes this view; only then are there fences."""
    whole_from_ms: Ints | tuple[()] = ()
    """Shape (features, n): from when on its window is whole, ms; empty where every value always is."""
    ahead_ms: Ints | None = None
    """Shape (n,): how much later than the request's time an event in the values may be; None: never."""
    incomplete: Literal["refuse", "null", "serve"] = "serve"
    """What becomes of a window that is not whole."""


class StreamRows:
    """Rows that the feature processor writes: windows are evaluated as of the request's time."""

    def __init__(self, plan: Plan, view: StreamView) -> None:
        self.fields = [head_field(view), closed_field(view)]
        self.removed_field = progress_field(view)
        """Of the hash that says which rows may have been removed (see `contract.store.keys.removed_key`)."""
        self._view = view
        self._topic = view_topic(plan, view)
        self._evaluate = WindowEvaluator(view)
        self._codec = RowCodec(self._evaluate.groups, view.fingerprint)

    def evaluate(self, rows: Sequence[Cells], as_of_ms: Ints, removed: bytes | None) -> ViewColumns:
        """Computes the view's columns. A row older than the ttl is read as no row: its windows are empty.

        Args:
            removed: what `removed_field` held once the rows had been read.
        """
        stored = [StoredRow(head, closed) for head, closed in rows]
        headers = [self._codec.header(row) for row in stored]
        event_ms = np.array([header.last_event_ms if header else np.nan for header in headers])
        stale = _stale(event_ms, as_of_ms, self._view.ttl_ms)
        fresh = [None if old else header for header, old in zip(headers, stale.tolist(), strict=True)]
        columns = self._evaluate.flat(self._codec.flat(stored, fresh), as_of_ms).columns
        removed_before_ms = NO_TILE if removed is None else int(removed)
        whole_from = self._evaluate.whole_from_ms(self._codec.whole_from(stored, fresh), removed_before_ms)
        return ViewColumns(
            self._view.features,
            columns,
            stale,
            [self._fence(each) for each in headers],
            event_ms,
            streamed=True,
            # The ttl empties the windows of a stale row, whatever else they lack.
            whole_from_ms=np.where(stale, NO_TILE, whole_from),
            ahead_ms=self._ahead_ms(event_ms, stale, as_of_ms),
            incomplete=self._view.incomplete,
        )

    def _ahead_ms(self, event_ms: Floats, stale: Bools, as_of_ms: Ints) -> Ints:
        """Heads end with the tile of the view's resolution that the time is in."""
        head_ms = self._view.head_ms
        last_ms = (as_of_ms // head_ms + 1) * head_ms - 1
        newest_ms = np.where(np.isnan(event_ms) | stale, as_of_ms, event_ms).astype(np.int64)
        return np.maximum(np.minimum(newest_ms, last_ms) - as_of_ms, 0)

    def _fence(self, header: Header | None) -> str | None:
        return str(Position(self._topic, header.partition, header.offset)) if header else None


class BatchRows:
    """Rows that `feast materialize` writes: one value per feature."""

    def __init__(self, view: BatchView) -> None:
        self._view = view
        self.fields = [timestamp_field(view.name)]
        self.fields += [feature_field(view.name, feature.name) for feature in view.features]

    def evaluate(self, rows: Sequence[Cells], as_of_ms: Ints) -> ViewColumns:
        """Computes the view's columns. A row older than the ttl is read as null."""
        event_ms = np.array([decode_timestamp(row[0]) if row[0] else np.nan for row in rows])
        stale = _stale(event_ms, as_of_ms, self._view.ttl_ms)
        columns = []
        for at, feature in enumerate(self._view.features, 1):
            decode: Callable[[bytes | None], Any] = decode_list if feature.dtype.is_list else decode_value
            values = [None if old else decode(row[at]) for row, old in zip(rows, stale.tolist(), strict=True)]
            columns.append(to_column(values, feature.dtype))
        return ViewColumns(self._view.features, columns, stale, [None] * len(rows), event_ms, streamed=False)


def _stale(event_ms: Floats, as_of_ms: Ints, ttl_ms: int) -> Bools:
    if not ttl_ms:
        return np.zeros(len(event_ms), dtype=bool)
    return as_of_ms - event_ms > ttl_ms
