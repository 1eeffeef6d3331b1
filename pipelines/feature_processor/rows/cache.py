"""Rows kept in the process between batches, up to so many bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from forebay.pipelines.steps.tile_state.row_codec import StoredRow

_OVERHEAD_BYTES = 170
"""Of one row beside its bytes and its key's: the objects of both, and an entry in the table."""

_ROOM = 16
"""One such part of the cache is made free at a time: to find the oldest row of a table takes a walk over its gaps."""

_SIZES = struct.Struct("<iii")
"""Of a row's fields; -1: the field is absent."""


class RowCache:
    """Rows by key; those go first that were not used for the longest time.

    A row is small for short windows and some 10 kB for a day of five-minute tiles: bytes are counted, not rows. Each is
    kept as one object, in one table whose order is that of use: the objects of a small row take more than its bytes.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rows: dict[bytes, bytes] = {}
        self.size_bytes = 0
        """Of all rows, keys and overhead included."""

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: bytes) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[bytes]:
        """Keys; the one that goes first comes first."""
        return iter(self._rows)

    def get(self, key: bytes) -> StoredRow | None:
        """Returns a row, which is the last to go from now on; None if it is not there."""
        packed = self._rows.pop(key, None)
        if packed is None:
            return None
        self._rows[key] = packed
        return _unpack_row(packed)

    def put(self, key: bytes, row: StoredRow) -> None:
        """Adds or replaces a row. One that is larger than the whole cache is not kept, nor is the row before it."""
        self.drop(key)
        packed = _pack_row(row)
        size_bytes = _size_bytes(key, packed)
        if size_bytes > self._max_bytes:
            return
        if self.size_bytes + size_bytes > self._max_bytes:
            self._make_room(size_bytes)
        self._rows[key] = packed
        self.size_bytes += size_bytes

    def drop(self, key: bytes) -> None:
        """Removes a row, if it is there."""
        packed = self._rows.pop(key, None)
        if packed is not None:
            self.size_bytes -= _size_bytes(key, packed)

    def clear(self) -> None:
        """Removes all rows."""
        self._rows = {}
        self.size_bytes = 0

    def _make_room(self, size_bytes: int) -> None:
        left_bytes = self._max_bytes - max(size_bytes, self._max_bytes // _ROOM)
        oldest = []
        for key, packed in self._rows.items():
            if self.size_bytes <= left_bytes:
                break
            oldest.append(key)
            self.size_bytes -= _size_bytes(key, packed)
        for key in oldest:
            del self._rows[key]


def _size_bytes(key: bytes, packed: bytes) -> int:
    return len(key) + len(packed) + _OVERHEAD_BYTES


def _pack_row(row: StoredRow) -> bytes:
    head, closed, ids = row
    sizes = _SIZES.pack(
        -1 if head is None else len(head), -1 if closed is None else len(closed), -1 if ids is None else len(ids)
    )
    return b"".join((sizes, head or b"", closed or b"", ids or b""))


def _unpack_row(packed: bytes) -> StoredRow:
    head, closed, ids = _SIZES.unpack_from(packed)
    closed_at = _SIZES.size + max(head, 0)
    ids_at = closed_at + max(closed, 0)
    return StoredRow(
        None if head < 0 else packed[_SIZES.size : closed_at],
        None if closed < 0 else packed[closed_at:ids_at],
        None if ids < 0 else packed[ids_at:],
    )
