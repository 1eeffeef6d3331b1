"""The log of one partition: records, and the markers that end transactions in it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from tests.support.broker.message import FakeMessage


class Outcome(Enum):
    """What became of a transaction."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


class Transaction:
    """One transaction of one producer: all its records have one outcome."""

    def __init__(self) -> None:
        self.outcome = Outcome.OPEN


class _Entry(NamedTuple):
    message: FakeMessage | None
    """None for a marker: it takes an offset, and nobody reads it."""
    transaction: Transaction | None


class PartitionLog:
    """Offsets count from 0 without gaps. Not thread-safe."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    @property
    def end(self) -> int:
        """The next offset to be written."""
        return len(self._entries)

    @property
    def stable_end(self) -> int:
        """Where a reader of committed records stops: at the first record of an open transaction."""
        open_at = (at for at, each in enumerate(self._entries) if _is(each, Outcome.OPEN))
        return next(open_at, self.end)

    def append(self, message: FakeMessage, transaction: Transaction | None) -> None:
        """Adds a record; its offset must be `end`."""
        assert message.offset_ == self.end
        self._entries.append(_Entry(message, transaction))

    def mark(self) -> None:
        """Adds the marker that ends a transaction."""
        self._entries.append(_Entry(None, None))

    def read(self, position: int) -> tuple[FakeMessage | None, int]:
        """The next committed record from there, and the position after it; without one, the position of the end."""
        for at in range(position, self.stable_end):
            entry = self._entries[at]
            if entry.message is not None and not _is(entry, Outcome.ABORTED):
                return entry.message, at + 1
        return None, max(position, self.stable_end)


def _is(entry: _Entry, outcome: Outcome) -> bool:
    return entry.transaction is not None and entry.transaction.outcome is outcome
