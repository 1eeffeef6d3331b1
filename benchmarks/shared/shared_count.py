"""A number that one process counts and another one reads, at the cost of a memory access."""

from __future__ import annotations

import mmap
from pathlib import Path

_BYTES = 8


class SharedCount:
    """A count in a mapped file. One writer; on 64-bit machines a reader never sees half of a write."""

    def __init__(self, path: Path) -> None:
        """Args:
        path: a file made by `create`.
        """
        with path.open("r+b") as file:
            self._number = memoryview(mmap.mmap(file.fileno(), _BYTES)).cast("q")

    @classmethod
    def create(cls, path: Path) -> SharedCount:
        """A new count, at zero."""
        path.write_bytes(bytes(_BYTES))
        return cls(path)

    def add(self, count: int) -> None:
        """Counts some more."""
        self._number[0] += count

    def value(self) -> int:
        """The count so far."""
        return self._number[0]
