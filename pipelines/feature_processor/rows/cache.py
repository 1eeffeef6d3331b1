"""Rows kept in the process between batches, up to so many bytes."""

from __future__ import annotations

from cachetools import LRUCache

from forebay.pipelines.steps.tile_state.row_codec import StoredRow

_OVERHEAD_BYTES = 500
"""Of one row beside its bytes: the key, the objects around them, and an entry in each of the cache's three tables."""


class RowCache(LRUCache[bytes, StoredRow]):
    """Rows by key; those go first that were not used for the longest time.

    A row is small for short windows and some 10 kB for a day of five-minute tiles: bytes are counted, not rows.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, getsizeof=_size_bytes)

    def put(self, key: bytes, row: StoredRow) -> None:
        """Adds or replaces a row. A row larger than the whole cache is not kept, nor is the row that it replaces."""
        try:
            self[key] = row
        except ValueError:
            self.drop(key)

    def drop(self, key: bytes) -> None:
        """Removes a row, if it is there."""
        self.pop(key, None)


def _size_bytes(row: StoredRow) -> int:
    return len(row.head or b"") + len(row.closed or b"") + len(row.ids or b"") + _OVERHEAD_BYTES
