"""Holds the next fetch back until the batches of the last one are done, so batches grow with the load."""

from __future__ import annotations

import asyncio
import itertools


class InFlight:
    """Knows the batches of the present epoch by number. Belongs to one event loop.

    Fetching ahead would hand out one small batch after another, until Faust's stream buffer is full and its
    back-pressure stops all partitions for a second. Records keep arriving in aiokafka's own buffer meanwhile.
    """

    def __init__(self) -> None:
        self.epoch = 0
        """Counts the seeks; a batch of an earlier epoch was read from a position since given up."""
        self.seeking = False
        """Between `begin_seek` and `end_seek`: positions are not to be trusted."""
        self._numbers = itertools.count()
        self._batches: set[int] = set()
        self._none = asyncio.Event()
        self._none.set()

    def hand_out(self) -> int:
        """Counts one more batch of this epoch; returns its number."""
        number = next(self._numbers)
        self._batches.add(number)
        self._open_or_close()
        return number

    def release(self, number: int) -> None:
        """Stops waiting for a batch. Releasing it again, or one of an earlier epoch, does nothing."""
        self._batches.discard(number)
        self._open_or_close()

    def begin_seek(self) -> None:
        """Opens a new epoch, in which nothing is fetched until `end_seek`."""
        self.epoch += 1
        self._batches.clear()
        self.seeking = True
        self._open_or_close()

    def end_seek(self) -> None:
        """Lets fetching begin: every partition is at its start."""
        self.seeking = False
        self._open_or_close()

    async def none_left(self, timeout_s: float) -> bool:
        """Waits until nothing is in flight; whether that came in time."""
        try:
            await asyncio.wait_for(self._none.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _open_or_close(self) -> None:
        if self._batches or self.seeking:
            self._none.clear()
        else:
            self._none.set()
