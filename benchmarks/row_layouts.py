"""Ways to lay out an entity's row in the store: which fields one update writes, and which a reader asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pipelines.contract.entity_key import closed_field, head_field
from pipelines.contract.fence import HEADER_BYTES
from pipelines.steps.rows import ABSENT, StoredRow

_FENCE = b"_ff:"


class Layout(NamedTuple):
    """One way. The store's script takes the first field of a write for the one that begins with the fence."""

    name: str
    fields: Callable[[str, StoredRow, StoredRow], list[bytes]]
    """(view, stored row, new row) -> field, value, field, value ... to write."""
    read: Callable[[str], list[bytes]]
    """View -> fields of its whole state."""


def _apart(view: str, stored: StoredRow, row: StoredRow) -> list[bytes]:
    """As the feature processor does: closed tiles only where they changed."""
    fields = [head_field(view), row.head or b""]
    if row.closed != stored.closed or stored is ABSENT:
        fields += (closed_field(view), row.closed or b"")
    return fields


def _one(view: str, _stored: StoredRow, row: StoredRow) -> list[bytes]:
    return [head_field(view), (row.head or b"") + (row.closed or b"")]


def _one_with_fence_apart(view: str, _stored: StoredRow, row: StoredRow) -> list[bytes]:
    head, closed = row.head or b"", row.closed or b""
    return [_FENCE + view.encode(), head[:HEADER_BYTES], head_field(view), head[HEADER_BYTES:] + closed]


LAYOUTS = (
    Layout("head and closed apart", _apart, lambda view: [head_field(view), closed_field(view)]),
    Layout("one field", _one, lambda view: [head_field(view)]),
    Layout("one field, fence apart", _one_with_fence_apart, lambda view: [_FENCE + view.encode(), head_field(view)]),
)
"""The first is the product's."""
