"""Rows kept in the process between batches, up to so many bytes."""

from __future__ import annotations

from forebay.pipelines.steps.tile_state.row_codec import StoredRow

_OVERHEAD_BYTES = 300
"""Of the objects around one row's bytes: key, tuple, two or three byte strings, and the dictionary's entry."""


class RowCache(dict[bytes, StoredRow]):
    """Rows by key; `put` and `drop` keep count of their bytes.

    A row is small for short windows and some 10 kB for a day of five-minute tiles, so rows are no measure.
    """

    def __init__(self, max_bytes: int) -> None:
        """Args:
        max_bytes: what `shrink` leaves at most.
        """
        super().__init__()
        self._max_bytes = max_bytes
        self.size_bytes = 0
        """Of all rows, overhead included."""

    def put(self, key: bytes, row: StoredRow) -> None:
        """Adds or replaces a row."""
        if key in self:
            self.size_bytes -= _size(key, self[key])
        self[key] = row
        self.size_bytes += _size(key, row)

    def drop(self, key: bytes) -> None:
        """Removes a row, if it is there."""
        if key in self:
            self.size_bytes -= _size(key, self.pop(key))

    def forget(self) -> None:
        """Removes every row."""
        self.clear()
        self.size_bytes = 0

    def shrink(self) -> None:
        """Drops rows, those first that were added first, until the rest fits."""
        excess, oldest = self.size_bytes - self._max_bytes, []
        # One pass: asked for its first key again and again, a dictionary looks through all that were removed.
        for key, row in self.items():
            if excess <= 0:
                break
            excess -= _size(key, row)
            oldest.append(key)
        for key in oldest:
            self.drop(key)


def _size(key: bytes, row: StoredRow) -> int:
    return len(key) + len(row.head or b"") + len(row.closed or b"") + len(row.ids or b"") + _OVERHEAD_BYTES
