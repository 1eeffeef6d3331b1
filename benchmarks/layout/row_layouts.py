"""Ways to lay out an entity's row in the store: which fields one update writes, and which a reader asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.shared.plans import CLOSED_FIELD, HEAD_FIELD
from forebay.pipelines.contract.store.row_header import HEADER_BYTES
from forebay.pipelines.steps.tile_state.row_codec import ABSENT, StoredRow

_FENCE = b"_ff:card_activity"


class Layout(NamedTuple):
    """One way. The store's script takes the first field of a write for the one that begins with the fence."""

    name: str
    fields: Callable[[StoredRow, StoredRow], list[bytes]]
    """(stored row, new row) -> field, value, field, value ... to write."""
    read: tuple[bytes, ...]
    """Fields of its whole state."""


def _apart(stored: StoredRow, row: StoredRow) -> list[bytes]:
    """As the feature processor does: closed tiles only where they changed."""
    fields = [HEAD_FIELD, row.head or b""]
    if row.closed != stored.closed or stored is ABSENT:
        fields += (CLOSED_FIELD, row.closed or b"")
    return fields


def _one(_stored: StoredRow, row: StoredRow) -> list[bytes]:
    return [HEAD_FIELD, (row.head or b"") + (row.closed or b"")]


def _one_with_fence_apart(_stored: StoredRow, row: StoredRow) -> list[bytes]:
    head, closed = row.head or b"", row.closed or b""
    return [_FENCE, head[:HEADER_BYTES], HEAD_FIELD, head[HEADER_BYTES:] + closed]


LAYOUTS = (
    Layout("head and closed apart", _apart, (HEAD_FIELD, CLOSED_FIELD)),
    Layout("one field", _one, (HEAD_FIELD,)),
    Layout("one field, fence apart", _one_with_fence_apart, (_FENCE, HEAD_FIELD)),
)
"""The first is the product's."""
