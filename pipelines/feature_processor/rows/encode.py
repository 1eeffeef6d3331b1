"""Encode changed rows as the fenced writes that the store takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from forebay.pipelines.adapters.online_store import RowWrite, SharedBy
from forebay.pipelines.contract.plan.views import StreamView
from forebay.pipelines.contract.store.entity_key import feature_field, state_fields, timestamp_field
from forebay.pipelines.contract.store.keys import held_prefix
from forebay.pipelines.contract.store.publication import DEFINITION, publication_key
from forebay.pipelines.contract.store.values import encode_columns, encode_timestamp
from forebay.pipelines.steps.arrays import Column, Mask
from forebay.pipelines.steps.tile_state.row_codec import StoredRow
from forebay.pipelines.steps.windows.aggregate import Aggregated


class ShownValues(NamedTuple):
    """What Feast is to read of rows that are written."""

    chosen: Mask
    """Shape (m,): rows that are written with their values; those of the others are held back."""
    columns: list[Column]
    """Per feature, the values of those, shape (chosen,)."""


class RowEncoder:
    """Encodes the rows of one view."""

    def __init__(self, view: StreamView, project: str, topic: str) -> None:
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
        self.held_prefix = held_prefix(project, view.name, topic)
        """Of the hashes that name rows whose values are held back."""
        self.all_fields = (*self.state_fields, *self.shared_fields)
        """Every field of a row."""

    def writes(
        self,
        keys: Sequence[bytes],
        stored: Sequence[StoredRow],
        result: Aggregated,
        shown: ShownValues | None,
        erasures: Callable[[bytes], Sequence[bytes]],
    ) -> Iterator[RowWrite]:
        """Returns the writes, one by one: the store may send the first while the last is not made yet.

        Args:
            keys: of all entities that the result's indices count.
            stored: the rows that were folded onto, as long as the keys.
            shown: their values, to be written where Feast reads; None: nothing is.
            erasures: the keys of those that can concern a row.
        """
        head_name, *other_names = self.state_fields
        chosen = shown.chosen.tolist() if shown else [False] * len(result.rows)
        cells = self._cells(result, shown) if shown and any(chosen) else iter(())
        for entity, row, offset, is_shown in zip(
            result.entities.tolist(), result.rows, result.stored_offsets, chosen, strict=True
        ):
            fields: list[Any] = [head_name, row.head]
            for name, new, old in zip(other_names, row[1:], stored[entity][1:], strict=False):
                if offset < 0 or new != old:
                    fields += (name, new)
            key = keys[entity]
            values = next(cells) if is_shown else ()
            yield RowWrite(key, offset, fields, values, erasures(key) if offset < 0 else ())

    def _cells(self, result: Aggregated, shown: ShownValues) -> Iterator[Sequence[bytes]]:
        """Encodes, per published row, what Feast reads: the time, and a value per feature."""
        cells = encode_columns(shown.columns, [feature.dtype for feature in self._view.features])
        return zip(map(encode_timestamp, result.last_event_ms[shown.chosen].tolist()), *cells, strict=True)
