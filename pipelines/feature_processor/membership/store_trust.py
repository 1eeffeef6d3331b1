"""Knows whether the store can be trusted to hold all that it acknowledged."""

from __future__ import annotations

from collections.abc import Callable

from forebay.pipelines.errors import StoreRolledBack
from forebay.pipelines.feature_processor.membership.walk import Walk


class StoreTrust:
    """Knows whether the store may have lost writes of one topic since it was last compared with the process.

    A server that fails over, or restarts, can come back with older data, and every connection to it breaks then. The
    next one who uses the store makes another connection without noticing, so lost connections are counted: as long as
    their number is that of the last comparison, nothing can have been lost.
    """

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._compared_at: int | None = None
        """How many connections had been lost when the last comparison began; None before the first one."""

    @property
    def holds(self) -> bool:
        """Whether nothing can have been lost since the last comparison."""
        return self._compared_at == self._walk.connections_lost

    @property
    def in_doubt(self) -> bool:
        """Whether something may have been lost since; False where nothing was compared yet."""
        return self._compared_at is not None and not self.holds

    def read_afresh(self, read: Callable[[], None]) -> None:
        """Trusts the store after `read`, which drops all that is kept of it and reads progress."""
        lost = self._walk.connections_lost
        read()
        self._compared_at = lost

    def compare(self) -> None:
        """Compares what the store holds with what was written, before anything else is written onto it.

        Rows that are kept are dropped: those of the store may have fallen back, and must not be folded onto from where
        the next batch begins.

        Raises:
            StoreRolledBack: the store lost writes; all is to be read again from its progress.
            StoreUnavailable: it can be tried again.
        """
        lost = self._walk.connections_lost
        self._walk.forget_rows()
        if self._walk.has_fallen_back():
            raise StoreRolledBack(f"{self._walk.topic}: the store's progress is behind what it had acknowledged")
        self._walk.publish_again()
        self._compared_at = lost
