"""Encode changed rows as the fenced writes that the store takes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from forebay.pipelines.adapters.online_store import RowWrite, SharedBy
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.entity_key import feature_field, state_fields, timestamp_field
from forebay.pipelines.contract.store.publication import DEFINITION, publication_key
from forebay.pipelines.contract.store.values import encode_columns, encode_timestamp
from forebay.pipelines.steps.tile_state.row_codec import StoredRow
from forebay.pipelines.steps.windows.aggregate import Aggregated


class RowEncoder:
    """Encodes the rows of one view."""

    def __init__(self, view: StreamView, project: str) -> None:
        self._view = view
        self.state_fields = state_fields(view)
        """What only this definition of the view has in a row."""
        self.shared_fields = [
            timestamp_field(view.name),
            *(feature_field(view.name, feature.name) for feature in view.features),
        ]
        """What Feast reads: all definitions of the view have it."""
        self.shared_by = SharedBy(publication_key(project, view.name), DEFINITION, view.fingerprint.encode())
        """What says whether it is this definition that Feast reads."""
        self.all_fields = (*self.state_fields, *self.shared_fields)
        """Every field of a row."""

    def writes(
        self, keys: Sequence[bytes], stored: Sequence[StoredRow], result: Aggregated, published: bool
    ) -> Iterator[RowWrite]:
        """The writes, one by one: the store may send the first while the last is not made yet.

        Args:
            keys: of all entities that the result's indices count.
            stored: the rows that were folded onto, as long as the keys.
            published: whether their values are written where Feast reads.
        """
        head_name, *other_names = self.state_fields
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
        cells = encode_columns(result.values, [feature.dtype for feature in self._view.features])
        return zip(map(encode_timestamp, result.last_event_ms.tolist()), *cells, strict=True)
