"""Reads many rows in slices that are bounded in bytes: neither store nor client holds more replies at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Requests = Sequence[tuple[bytes, Sequence[bytes]]]
Rows = list[list[bytes | None]]

SLICE_BYTES = 4 * 1024 * 1024
"""What comes back for a slice, about. A slice is asked for whole before its replies are read: the store buffers it."""

FIRST_ROWS = 32
"""Of a kind of row that has never been read: it may be of any size."""

MOST_ROWS = 10_000
_GROWTH = 8
"""A slice has at most so many times the rows of the one before: its rows may be larger."""


class ReadSlices:
    """Knows how large rows were, by the first field asked for: views differ."""

    def __init__(self) -> None:
        self._rows: dict[bytes, int] = {}

    def read(self, requests: Requests, read_at_once: Callable[[Requests], Rows]) -> Rows:
        """Reads all rows in order, with one call per slice."""
        found: Rows = []
        while len(found) < len(requests):
            some = self.next(requests, len(found))
            rows = read_at_once(some)
            self.learn(some, rows)
            found += rows
        return found

    def next(self, requests: Requests, done: int) -> Requests:
        """Returns the slice to read after so many rows."""
        return requests[done : done + self._rows.get(_kind(requests[done]), FIRST_ROWS)]

    def learn(self, some: Requests, rows: Rows) -> None:
        """Takes note of how large the rows of a slice were."""
        kind = _kind(some[0])
        self._rows[kind] = _next_size(self._rows.get(kind, FIRST_ROWS), rows)


def _kind(request: tuple[bytes, Sequence[bytes]]) -> bytes:
    return request[1][0]


def _next_size(size: int, rows: Rows) -> int:
    bytes_ = sum(len(cell) for row in rows for cell in row if cell is not None)
    if not bytes_:
        return size  # absent rows say nothing of the others
    fitting = SLICE_BYTES * len(rows) // bytes_
    return max(1, min(fitting, MOST_ROWS, max(size, _GROWTH * len(rows))))
